/** Registers the suite's cases with vitest: one device per case, skips by exact name and with a reason. */
import { describe, test } from "vitest";
import { Device } from "./device.ts";
import type { AnyBackend } from "./device.ts";

export interface Skip {
  /** Exact name of a case, as the report prints it: "group > case". */
  readonly case: string;
  readonly reason: string;
}

export class Checks {
  readonly #unused: Map<string, string>;
  #group = "";

  constructor(
    readonly backend: AnyBackend,
    skips: readonly Skip[],
  ) {
    this.#unused = new Map(skips.map((skip) => [skip.case, skip.reason]));
  }

  group(name: string, register: () => void): void {
    this.#group = name;
    describe(name, register);
  }

  /** A case; what it allocates through the device is released after it. */
  check(name: string, run: (device: Device) => Promise<void>): void {
    const full = `${this.#group} > ${name}`;
    const reason = this.#unused.get(full);
    if (reason !== undefined) {
      this.#unused.delete(full);
      test.skip(`${name} (skipped: ${reason})`);
      return;
    }
    test(name, async () => {
      const device = new Device(this.backend);
      try {
        await run(device);
      } finally {
        device.releaseAll();
      }
    });
  }

  /** Fails for skips that name no case, so that none outlives its reason. */
  finish(): void {
    test("every skip names a case", () => {
      if (this.#unused.size > 0) throw new Error(`No such cases: ${[...this.#unused.keys()].join("; ")}.`);
    });
  }
}
