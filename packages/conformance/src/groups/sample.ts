/** Choosing the next token. */
import { random } from "@infllm/tensor";
import type { Checks } from "../checks.ts";
import { expectSame } from "../compare.ts";
import type { Device } from "../device.ts";

interface Draw {
  readonly logits: readonly number[];
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly uniform?: number;
}

async function sampled(device: Device, draws: readonly Draw[]): Promise<Float32Array> {
  const rows = draws.length;
  const vocabulary = draws[0]?.logits.length ?? 0;
  const settings = draws.flatMap(({ temperature, topK = 0, topP = 1, uniform = 0 }) => [temperature, topK, topP, uniform]);
  const out = device.tensor("i32", [rows], new Float32Array(rows).fill(-5));
  device.neural.sample({
    logits: device.tensor("f32", [rows, vocabulary], draws.flatMap((draw) => [...draw.logits])),
    settings: device.tensor("f32", [rows, 4], settings),
    out,
  });
  return device.read(out);
}

/** ids in descending probability, and each one's share */
function distribution(logits: readonly number[], temperature: number): { readonly id: number; readonly share: number }[] {
  const largest = Math.max(...logits);
  const weights = logits.map((logit, id) => ({ id, logit, weight: Math.exp((logit - largest) / temperature) }));
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  weights.sort((a, b) => b.logit - a.logit || a.id - b.id);
  return weights.map(({ id, weight }) => ({ id, share: weight / total }));
}

export function sampleCases(checks: Checks): void {
  checks.group("sample", () => {
    checks.check("temperature 0 takes the largest, the lower id on a tie", async (device) => {
      const rows = [[1, 3, 2, 3, -1], [5, 5, 5, 5, 5], [-9, -8, -7, -6, -5], [-Infinity, 0, -Infinity, 0, 0]];
      expectSame("ids", await sampled(device, rows.map((logits) => ({ logits, temperature: 0, uniform: 0.9 }))), [1, 0, 4, 1]);
    });

    checks.check("a large vocabulary", async (device) => {
      const logits = Array.from(random(3).normals(5003));
      const largest = logits.indexOf(Math.max(...logits));
      const second = distribution(logits, 1)[1]?.id ?? -1;
      const first = distribution(logits, 1)[0]?.share ?? 0;
      const draws = [
        { logits, temperature: 0 },
        { logits, temperature: 1, topK: 1, uniform: 0.99 },
        { logits, temperature: 1, uniform: first * 1.1 },
      ];
      expectSame("ids", await sampled(device, draws), [largest, largest, second]);
    });

    checks.check("−1 where nothing is finite or something is NaN", async (device) => {
      const rows = [[NaN, 1, 2], [NaN, NaN, NaN], [-Infinity, -Infinity, -Infinity], [1, 2, NaN]];
      for (const temperature of [0, 0.7]) {
        expectSame(`temperature ${temperature}`, await sampled(device, rows.map((logits) => ({ logits, temperature }))), [-1, -1, -1, -1]);
      }
    });

    checks.check("topK keeps the lower ids of a tie", async (device) => {
      const logits = [0, 1, 1, 1, 0];
      const draws = [0.1, 0.6, 0.95].map((uniform) => ({ logits, temperature: 1, topK: 2, uniform }));
      expectSame("ids", await sampled(device, draws), [1, 2, 2]);
    });

    checks.check("topP keeps the fewest that reach it, and always one", async (device) => {
      // Shares 1/2, 1/4, 1/8, 1/8.
      const logits = [Math.log(2), Math.log(4), 0, 0];
      const draw = (topP: number, uniform: number): Draw => ({ logits, temperature: 1, topP, uniform });
      const draws = [draw(0.4, 0.99), draw(0.7, 0.6), draw(0.7, 0.7), draw(0.8, 0.9), draw(0, 0.5), draw(1, 0.999)];
      expectSame("ids", await sampled(device, draws), [1, 1, 0, 2, 1, 3]);
    });

    checks.check("topP is a share of what topK kept", async (device) => {
      // Kept: shares 2/3 and 1/3 of the kept mass.
      const logits = [Math.log(2), Math.log(4), 0, 0];
      const draw = (topP: number, uniform: number): Draw => ({ logits, temperature: 1, topK: 2, topP, uniform });
      expectSame("ids", await sampled(device, [draw(0.6, 0.99), draw(0.7, 0.6), draw(0.7, 0.7)]), [1, 1, 0]);
    });

    checks.check("random draws, away from the borders between tokens", async (device) => {
      const numbers = random(11);
      const draws: Draw[] = [];
      const expected: number[] = [];
      while (draws.length < 200) {
        const logits = Array.from(numbers.normals(40, 2));
        const temperature = Math.fround(0.3 + numbers.uniform());
        const uniform = Math.fround(numbers.uniform());
        let reached = 0;
        const ranked = distribution(logits, temperature);
        const chosen = ranked.find(({ share }) => (reached += share) > uniform);
        const border = Math.min(reached - uniform, uniform - reached + (chosen?.share ?? 0));
        if (chosen === undefined || (border < 1e-4 && uniform > 1e-4)) continue;
        draws.push({ logits, temperature, uniform });
        expected.push(chosen.id);
      }
      expectSame("ids", await sampled(device, draws), expected);
    });
  });
}
