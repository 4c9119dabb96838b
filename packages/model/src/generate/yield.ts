/** Lets timers, signals and I/O run between two steps; a backend that computes on this thread would starve them. */
export function yieldToEvents(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else afterMessages(resolve);
  });
}

const waiting: (() => void)[] = [];
let post: (() => void) | undefined;

/** Browsers hold nested timers back for 4 ms, as long as a small model takes for a token; a message comes at once. */
function afterMessages(resolve: () => void): void {
  post ??= messagePoster(() => waiting.shift()?.());
  waiting.push(resolve);
  post();
}

function messagePoster(onMessage: () => void): () => void {
  const { port1, port2 } = new MessageChannel();
  port2.onmessage = onMessage;
  return () => port1.postMessage(undefined);
}
