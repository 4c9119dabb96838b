/** Results do not depend on how a prompt is chunked, nor on what was truncated before. */
import fc from "fast-check";
import { blockBudget } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { attendLayer } from "@infllm/attention";
import type { AttentionBackend } from "@infllm/attention";
import { sparseAccuracy } from "../attention-case.ts";
import { CacheRig, concatenate } from "../cache-rig.ts";
import type { CaseInputs } from "../cases.ts";
import type { Checks } from "../checks.ts";
import { expectClose, expectSame, mustBe } from "../compare.ts";
import { plainShape, testConfigs } from "../configs.ts";
import type { HeadShape } from "../configs.ts";
import type { Device } from "../device.ts";
import { GuardedPerHead } from "../guards.ts";
import { layerInputs, rowRange } from "../layer-inputs.ts";
import type { Accuracy } from "../tolerance.ts";

const LENGTH = 330;

/** What query rows `[from, from + rows)` gave. */
interface Rows {
  readonly rows: number;
  /** f32 `[rows, heads * headDim]` */
  readonly out: Float32Array;
  /** `[kvHeads, rows, budget]` */
  readonly blocks: Int32Array;
}

/** One prompt's right answer, from prefilling it at once. */
interface Whole extends Rows {
  readonly inputs: CaseInputs;
  readonly accuracy: Accuracy;
}

/** A head shape and config, and the prompts that are run under it. */
class Prompts {
  constructor(
    readonly device: Device,
    readonly shape: HeadShape,
    readonly config: SparseConfig,
    readonly bitwise: boolean,
  ) {}

  get kvWidth(): number {
    return this.shape.kvHeads * this.shape.headDim;
  }

  get width(): number {
    return this.shape.heads * this.shape.headDim;
  }

  rig(): CacheRig {
    return CacheRig.create(this.device, { ...this.shape, contextLength: LENGTH, sparse: this.config });
  }

  /** Runs `attendLayer` over consecutive chunks, from the sequence's present length on. */
  async prefill(rig: CacheRig, inputs: CaseInputs, chunks: readonly number[]): Promise<Rows> {
    const parts: Rows[] = [];
    for (const count of chunks) parts.push(await this.#chunk(rig, inputs, count));
    return parts.reduce((a, b) => this.join(a, b));
  }

  async whole(seed: number): Promise<Whole> {
    const { device, shape } = this;
    const inputs = layerInputs(seed, LENGTH, shape);
    const rig = this.rig();
    const result = await this.prefill(rig, inputs, [LENGTH]);
    const rows = Array.from({ length: LENGTH }, (_, position) => ({ sequence: 0, position }));
    const test = { ...shape, rig, q: device.asActivations(inputs.q), rows, scale: this.#scale, contents: [inputs] };
    const accuracy = sparseAccuracy(test, result.blocks);
    expectClose("whole prompt", result.out, accuracy.values, accuracy.allowed);
    return { ...result, inputs, accuracy };
  }

  /** Same blocks; same output to the tolerance of float64, or to the bit. */
  expectEqual(what: string, actual: Rows, whole: Whole): void {
    expectSame(`${what}: blocks`, actual.blocks, whole.blocks);
    expectClose(`${what}: out`, actual.out, whole.accuracy.values, whole.accuracy.allowed);
    if (this.bitwise) expectSame(`${what}: out`, actual.out, whole.out);
  }

  /** Rows of `a`, then rows of `b`. */
  join(a: Rows, b: Rows): Rows {
    const budget = blockBudget(this.config);
    const ofHead = ({ rows, blocks }: Rows, head: number): Int32Array => blocks.subarray(head * rows * budget, (head + 1) * rows * budget);
    const heads = Array.from({ length: this.shape.kvHeads }, (_, head) => [ofHead(a, head), ofHead(b, head)]).flat();
    return { rows: a.rows + b.rows, out: concatenate([a.out, b.out]), blocks: joined(heads) };
  }

  get #scale(): number {
    return 1 / Math.sqrt(this.shape.headDim);
  }

  async #chunk(rig: CacheRig, inputs: CaseInputs, count: number): Promise<Rows> {
    const { device, width, kvWidth } = this;
    const sequence = mustBe(rig.sequences[0]);
    const from = sequence.length;
    rig.state.set([{ sequence, count }]);
    const out = device.output(count, width);
    const blocks = new GuardedPerHead(device, "i32", this.shape.kvHeads, count, blockBudget(this.config));
    attendLayer(device.backend as AttentionBackend, {
      q: device.input(rowRange(inputs.q, width, from, count), width),
      k: device.input(rowRange(inputs.k, kvWidth, from, count), kvWidth),
      v: device.input(rowRange(inputs.v, kvWidth, from, count), kvWidth),
      cache: rig.layer,
      batch: rig.batch,
      scale: this.#scale,
      sparse: true,
      blockIndices: blocks.tensor,
      out: out.tensor,
    });
    return { rows: count, out: await out.read(), blocks: Int32Array.from(await blocks.read()) };
  }
}

function joined(parts: readonly Int32Array[]): Int32Array {
  return Int32Array.from(parts.flatMap((part) => Array.from(part)));
}

/** Chunk lengths that add up to the prompt's. */
const chunkings = fc.uniqueArray(fc.integer({ min: 1, max: LENGTH - 1 }), { maxLength: 8 }).map((cuts) => {
  const ends = [...cuts.sort((a, b) => a - b), LENGTH];
  return ends.map((end, i) => end - (ends[i - 1] ?? 0));
});

export function chunkCases(checks: Checks, runs: number, bitwise: boolean): void {
  const shape = plainShape(checks.backend.capabilities);
  const names = ["blocks of 64", "blocks of 64, exact LSE", "windows wider than a block"] as const;

  checks.group("chunks", () => {
    for (const name of names) {
      checks.check(`any chunking of a prompt gives the same: ${name}`, async (device) => {
        const prompts = new Prompts(device, shape, mustBe(testConfigs[name]), bitwise);
        const whole = await prompts.whole(40);
        const property = fc.asyncProperty(chunkings, async (chunks) => {
          prompts.expectEqual(`chunks of ${chunks.join(", ")}`, await prompts.prefill(prompts.rig(), whole.inputs, chunks), whole);
          device.releaseAll();
        });
        await fc.assert(property, { seed: 17, numRuns: runs });
      });
    }

    checks.check("truncating another text and appending gives the same", async (device) => {
      const prompts = new Prompts(device, shape, mustBe(testConfigs["blocks of 64"]), bitwise);
      const whole = await prompts.whole(40);
      const other = layerInputs(41, LENGTH, shape);
      const lengths = fc.record({ first: fc.integer({ min: 1, max: LENGTH }), kept: fc.integer({ min: 1, max: LENGTH - 1 }) });
      const property = fc.asyncProperty(lengths, async ({ first, kept }) => {
        const keep = Math.min(first, kept);
        const rig = prompts.rig();
        const start = await prompts.prefill(rig, whole.inputs, [keep]);
        if (first > keep) await prompts.prefill(rig, other, [first - keep]);
        rig.sequences[0]?.truncate(keep);
        const rest = keep < LENGTH ? await prompts.prefill(rig, whole.inputs, [LENGTH - keep]) : undefined;
        prompts.expectEqual(`truncated from ${first} to ${keep}`, rest ? prompts.join(start, rest) : start, whole);
        device.releaseAll();
      });
      await fc.assert(property, { seed: 18, numRuns: runs });
    });

    checks.check("decoding token by token gives the rows of a prefill", async (device) => {
      const prompts = new Prompts(device, shape, mustBe(testConfigs["blocks of 64"]), bitwise);
      const whole = await prompts.whole(40);
      const chunks = [250, ...Array.from({ length: LENGTH - 250 }, () => 1)];
      prompts.expectEqual("decode", await prompts.prefill(prompts.rig(), whole.inputs, chunks), whole);
    });
  });
}
