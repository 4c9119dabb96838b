import { afterEach, expect, it, vi } from "vitest";

afterEach(() => vi.unstubAllGlobals());

it.each(["with setImmediate", "without it, as in browsers"])("lets a message through before it goes on, %s", async (engine) => {
  if (engine !== "with setImmediate") vi.stubGlobal("setImmediate", undefined);
  vi.resetModules();
  const { yieldToEvents } = await import("./yield.ts");
  const { port1, port2 } = new MessageChannel();
  const arrived: string[] = [];
  port2.on("message", (message: string) => arrived.push(message));
  port1.postMessage("stop");
  for (let step = 0; step < 100 && arrived.length === 0; step++) await yieldToEvents();
  port2.close();
  expect(arrived).toEqual(["stop"]);
});

it("goes on in order, once for each call", async () => {
  vi.stubGlobal("setImmediate", undefined);
  vi.resetModules();
  const { yieldToEvents } = await import("./yield.ts");
  const order: number[] = [];
  await Promise.all([1, 2, 3].map((number) => yieldToEvents().then(() => order.push(number))));
  expect(order).toEqual([1, 2, 3]);
});
