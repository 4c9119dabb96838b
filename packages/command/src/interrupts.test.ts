import { expect, it } from "vitest";
import { InterruptHandler } from "./interrupts.ts";

it("aborts on the first press and kills on the second", () => {
  let kills = 0;
  const interrupts = new InterruptHandler(() => kills++);
  interrupts.press();
  expect([interrupts.signal.aborted, kills]).toEqual([true, 0]);
  interrupts.press();
  expect(kills).toBe(1);
});

it("stops scoped work only, and forgets it afterwards", async () => {
  let kills = 0;
  const interrupts = new InterruptHandler(() => kills++);
  await interrupts.scoped(async (signal) => {
    interrupts.press();
    expect(signal.aborted).toBe(true);
    interrupts.press();
    expect(kills).toBe(1);
  });
  expect(interrupts.signal.aborted).toBe(false);
  await interrupts.scoped(async (signal) => expect(signal.aborted).toBe(false));
  await expect(interrupts.scoped(() => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  interrupts.press();
  expect(interrupts.signal.aborted).toBe(true);
});
