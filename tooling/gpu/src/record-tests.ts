/** Registers the tests that hold a package's kernels against the record of their last run on a GPU. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

export interface VerifiedKernels {
  readonly kernels: Readonly<Record<string, string>>;
  readonly unverified: Readonly<Record<string, { readonly hash: string; readonly reason: string }>>;
}

export interface RecordOptions {
  readonly file: URL;
  /** Every kernel as it is now. */
  readonly sources: readonly { readonly name: string; readonly hash: string }[];
  /** How to make a fresh record. */
  readonly remedy: string;
}

export function testRecord({ file, sources, remedy }: RecordOptions): void {
  describe("verified.json", () => {
    const verified = JSON.parse(readFileSync(file, "utf8")) as VerifiedKernels;

    it.each(sources)("knows $name as it is: run on a GPU, or listed as unverified with a reason", ({ name, hash }) => {
      const exception = verified.unverified[name];
      const known = verified.kernels[name] === hash || exception?.hash === hash;
      expect(
        known,
        `kernel ${name}, or a file it includes, changed since the record (now ${hash}). ${remedy} and keep the verified.json that ` +
          'writes, or list the kernel as unverified: node scripts/mark-unverified.mjs "why".',
      ).toBe(true);
      if (verified.kernels[name] !== hash) expect(exception?.reason.length).toBeGreaterThan(20);
    });

    it("names no kernel that is gone", () => {
      for (const name of [...Object.keys(verified.kernels), ...Object.keys(verified.unverified)]) {
        expect(sources.map((source) => source.name)).toContain(name);
      }
    });
  });
}
