/** The record of the last run on a GPU: of these kernels, on a real GPU, and passed. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { testRecord } from "../../../tooling/gpu/src/record-tests.ts";
import type { VerifiedKernels } from "../../../tooling/gpu/src/record-tests.ts";
import { kernelHashes } from "../scripts/kernel-sources.mjs";

const file = new URL("../verified.json", import.meta.url);

testRecord({ file, sources: kernelHashes(), remedy: "Run npm run build:gpu here, gpu/pack/dist/main.mjs on a GPU" });

interface Part {
  readonly allocationsAfterClose: number;
}
interface Verified extends VerifiedKernels {
  readonly software?: boolean;
  readonly check?: Readonly<Record<string, Part & { readonly cases: number; readonly passed: number; readonly skipped: readonly string[] }>>;
  readonly model?: Readonly<Record<string, Part & { readonly prompts: readonly { readonly tokens: number; readonly equalTokens: number }[] }>>;
}

const record = JSON.parse(readFileSync(file, "utf8")) as Verified;
const { check = {}, model = {} } = record;
const ran = Object.keys(record.kernels).length > 0;

describe.runIf(ran)(`the run that verified.json records${ran ? "" : " (skipped: there was none)"}`, () => {
  it("was on a GPU", () => expect(record.software).toBe(false));

  it.each(["f32", "f16"])("passed conformance in %s", (activation) => {
    const part = check[activation];
    expect(part?.cases).toBeGreaterThan(100);
    expect((part?.passed ?? 0) + (part?.skipped.length ?? 0)).toBe(part?.cases);
    expect(part?.allocationsAfterClose).toBe(0);
  });

  it.each(["f32", "f16"])("gave the embedded model's reference tokens in %s", (activation) => {
    const part = model[activation];
    expect(part?.prompts.length).toBeGreaterThan(2);
    for (const { tokens, equalTokens } of part?.prompts ?? []) expect(equalTokens).toBe(tokens);
    expect(part?.allocationsAfterClose).toBe(0);
  });
});
