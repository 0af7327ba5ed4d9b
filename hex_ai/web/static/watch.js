export function startWatch() { return { stop() {}, show() {} }; }
