import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { goldenCases, makeInputs } from "../src/index.ts";

/** First 16 hex digits of the SHA-256 of q, k and v as the generator that made the golden files produced them. */
const recorded: Readonly<Record<string, readonly string[]>> = {
  "prefill-small": ["83391d7bc2b319d1", "109f7d55196f9224", "24ae4bc6766186b5"],
  "prefill-default": ["d1d90d0655b9e5e0", "eaf9b2a483f44fd1", "0af9dc05aa252941"],
  decode: ["a4ebaaab9f889ff4", "d2de2b1526f96914", "2e7b9eb44a3d2363"],
  "head-dim-64-group-4": ["c240be725fe35c29", "ee7fceb1c2e12910", "b0a2b78b5906027d"],
  "exact-lse": ["7117b0d6e9578381", "4a7e26d3016b0d34", "b103969d85aefc49"],
};

test("inputs are the golden files' own, bit for bit", async () => {
  const cases = await goldenCases();
  expect(cases.map(({ name }) => name).sort()).toEqual(Object.keys(recorded).sort());
  for (const each of cases) {
    const { q, k, v } = makeInputs(each);
    const sums = [q, k, v].map((values) => createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex").slice(0, 16));
    expect(sums, each.name).toEqual(recorded[each.name]);
  }
});
