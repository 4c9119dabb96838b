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
  const { port1, port2 } = new MessageChannel() as unknown as WebMessageChannel;
  port2.onmessage = onMessage;
  return () => port1.postMessage(undefined);
}

/** As much of the browser's channel as is used here; the package is compiled without the DOM's types. */
interface WebMessageChannel {
  readonly port1: { postMessage(message: undefined): void };
  readonly port2: { onmessage: () => void };
}
