/**
 * What InfLLM-V2 would select where a model attends densely, and how much of the dense attention that reaches.
 *
 * The probe is an attention method: load a model with it and run a text (`model.score(ids, { positions: [] })`). Hidden
 * states, keys and outputs are those of full attention; selection is the float64 reference.
 */
import { blockBudget, blockCount, compressBoth, isForced, selectForRow, sparseConfig } from "@infllm/block-selection";
import type { LseMode, SparseConfig } from "@infllm/block-selection";
import type { AttendStep, AttentionMethod, LayerPlace } from "../methods/method.ts";
import { HeadKeys, headRows, softmaxRows } from "../methods/head-products.ts";
import { largest } from "../methods/largest.ts";

/** One query of one layer. */
export interface SelectionSample {
  readonly layer: number;
  readonly position: number;
  readonly approx: LseSample;
  readonly exact: LseSample;
  /** f64 `[heads]`: what the forced blocks (first, local, own) alone reach. */
  readonly forcedRecall: Float64Array;
  /** f64 `[heads]`: what the best choice reaches: forced blocks and, by KV head, those of most dense attention. */
  readonly bestRecall: Float64Array;
}

/** The selection with one way to take the LSE. */
export interface LseSample {
  /** Blocks of each KV head, ascending. */
  readonly blocks: readonly (readonly number[])[];
  /** f64 `[heads]`: share of a query head's dense attention that lies on tokens of its KV head's blocks. */
  readonly recall: Float64Array;
}

export interface SelectionProbeOptions {
  readonly config: SparseConfig;
  /** Which queries to look at; two neighbours, to compare their selections. */
  readonly wants: (position: number) => boolean;
  /** Called for every wanted query of every layer; layer by layer within a chunk of the prompt. */
  readonly onSample: (sample: SelectionSample) => void;
}

export function selectionProbe({ config, wants, onSample }: SelectionProbeOptions): AttentionMethod {
  return {
    name: "selection-probe",
    options: { config },
    // The last layer attends for prompts without wanted logits, too.
    model: { attention: "dense", everyQuery: true },
    begin: (place) => ({
      attend(step) {
        step.attendDense(step.out);
        const wanted = Array.from({ length: step.rows }, (_, row) => row).filter((row) => wants(step.first + row));
        if (wanted.length > 0) for (const sample of sampleRows(place, step, wanted, config)) onSample(sample);
      },
      release() {},
    }),
  };
}

function sampleRows(place: LayerPlace, { first, rows, q, k, scale }: AttendStep, wanted: readonly number[], config: SparseConfig): SelectionSample[] {
  const { backend, heads, kvHeads, headDim, layer } = place;
  const length = first + rows;
  const queries = backend.host.readNow(q) as Float32Array;
  const keys = backend.host.readNow(k.view({ rows: [0, length] })) as Float32Array;
  const compressed = compressBoth(keys, { kvHeads, headDim }, config);
  const width = heads * headDim;
  const masses = denseMasses(place, queries, keys, { wanted, first, scale, blockSize: config.blockSize });
  return wanted.map((row, index) => {
    const position = first + row;
    const query = { q: queries.subarray(row * width, (row + 1) * width), heads, kvHeads, headDim, position, scale };
    const massOf = (head: number): Float64Array => masses[index * heads + head] as Float64Array;
    const recall = (blocks: readonly (readonly number[])[]): Float64Array =>
      Float64Array.from({ length: heads }, (_, head) => {
        const mass = massOf(head);
        return (blocks[Math.floor((head * kvHeads) / heads)] ?? []).reduce((sum, block) => sum + (mass[block] ?? 0), 0);
      });
    const select = (lse: LseMode): LseSample => {
      const own = sparseConfig({ ...config, lse });
      const blocks = Array.from({ length: kvHeads }, (_, kvHead) =>
        [...selectForRow({ ...query, kvHead }, compressed, length, own).indices].filter((block) => block >= 0),
      );
      return { blocks, recall: recall(blocks) };
    };
    const visible = Math.floor(position / config.blockSize) + 1;
    const forced = Array.from({ length: visible }, (_, block) => block).filter((block) => isForced(block, visible - 1, config));
    const best = Array.from({ length: kvHeads }, (_, kvHead) => {
      const group = Array.from({ length: heads / kvHeads }, (__, head) => massOf((kvHead * heads) / kvHeads + head));
      const scores = Array.from({ length: visible }, (__, block) => group.reduce((sum, mass) => sum + (mass[block] ?? 0), 0));
      for (const block of forced) scores[block] = Infinity;
      return largest(scores, blockBudget(config));
    });
    return {
      layer, position,
      approx: select("approx"),
      exact: select("exact"),
      forcedRecall: recall(Array.from({ length: kvHeads }, () => forced)),
      bestRecall: recall(best),
    };
  });
}

/** f64 `[blocks]` for every wanted row and head: the dense attention that lies on each block. */
function denseMasses(
  { backend, heads, kvHeads, headDim }: LayerPlace,
  queries: Float32Array,
  keys: Float32Array,
  { wanted, first, scale, blockSize }: { readonly wanted: readonly number[]; readonly first: number; readonly scale: number; readonly blockSize: number },
): Float64Array[] {
  const length = keys.length / (kvHeads * headDim);
  const masses = new Array<Float64Array>(wanted.length * heads);
  for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
    const matrix = new HeadKeys(backend, headRows(keys, kvHeads * headDim, kvHead, headDim), headDim);
    for (let head = (kvHead * heads) / kvHeads; head < ((kvHead + 1) * heads) / kvHeads; head++) {
      const own = headRows(queries, heads * headDim, head, headDim);
      wanted.forEach((row, index) => {
        const probabilities = matrix.products(own.subarray(row * headDim, (row + 1) * headDim));
        softmaxRows(probabilities, length, scale, () => first + row + 1);
        const mass = new Float64Array(blockCount(length, blockSize));
        probabilities.forEach((probability, token) => {
          const block = Math.floor(token / blockSize);
          mass[block] = (mass[block] as number) + probability;
        });
        masses[index * heads + head] = mass;
      });
    }
    matrix.release();
  }
  return masses;
}
