/** The conformance suite in a browser: headless Chromium, whose WebGPU is SwiftShader where there is no GPU. */
import { afterAll, describe, expect, it } from "vitest";
import type { Outcome } from "../../../tooling/gpu/src/runner.ts";
import { openConformancePage } from "./browser/open-page.ts";

const outcomes = new Map<string, Outcome>();
const waiting = new Map<string, (outcome: Outcome) => void>();

const page = await openConformancePage(1, (outcome) => {
  outcomes.set(outcome.name, outcome);
  waiting.get(outcome.name)?.(outcome);
});

describe(page.device, () => {
  const running = page.run(page.cases);
  afterAll(async () => {
    await running;
    await page.close();
  });

  for (const name of page.cases) {
    it(name, async () => {
      const { error } = outcomes.get(name) ?? (await new Promise<Outcome>((resolve) => waiting.set(name, resolve)));
      expect(error).toBeUndefined();
    }, 120_000);
  }
});
