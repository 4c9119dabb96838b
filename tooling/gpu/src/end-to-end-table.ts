/** The end-to-end figures beside what they must and should reach. */
import type { Attention, ModelFigures, TorchLoop } from "./end-to-end.ts";

export interface Row {
  readonly what: string;
  /** Undefined where a part did not run. */
  readonly measured: number | undefined;
  readonly unit: "x" | "ms" | "tokens/s";
  readonly better: "more" | "less";
  readonly must: number;
  readonly aim: number;
  readonly mustMet: boolean;
  readonly aimMet: boolean;
}

const K = 1024;
/** Bytes that one token must read at least: every matrix but the embedding table, of bf16. */
const BF16_STEP_BYTES = 2 * (32 * (4096 * 4608 + 4096 * 4096 + 3 * 4096 * 16_384) + 73_448 * 4096);
/** Bytes a second, by the data sheet. */
const bandwidth: Readonly<Record<string, number>> = { H200: 4.8e12, H100: 3.35e12 };

export function figuresTable(models: readonly ModelFigures[], torch: TorchLoop | undefined, gpu = ""): Row[] {
  const named = (name: string) => models.find((model) => model.name === name);
  const prefill = (attention: Attention, tokens: number) => named("bf16")?.prefill.find((one) => one.attention === attention && one.tokens === tokens);
  const decode = (name: string, attention: Attention, cached: number) =>
    named(name)?.decode.find((one) => one.attention === attention && one.cached === cached)?.milliseconds;
  const sparse = prefill("sparse", 128 * K)?.seconds;
  const dense = prefill("dense", 128 * K)?.seconds;
  const loop = torch?.prefill.find(({ tokens }) => tokens === 128 * K)?.seconds;
  const gain = (cached: number) => over(decode("w4", "dense", cached), decode("w4", "sparse", cached));
  const [, peak] = Object.entries(bandwidth).find(([card]) => gpu.includes(card)) ?? [];
  const floor = peak === undefined ? undefined : (1000 * BF16_STEP_BYTES) / peak;
  return [
    row("prefill 128k, bf16, sparse over our dense", over(dense, sparse), "x", "more", 2.1, 2.5),
    row("prefill 128k, bf16, sparse over the layers in torch with cuDNN", over(loop, sparse), "x", "more", 2, 2.4),
    row("prefill 128k, bf16, our dense over the layers in torch with cuDNN", over(loop, dense), "x", "more", 0.85, 1),
    row("prefill 128k, bf16, sparse with recorded selections over our dense", over(dense, named("bf16")?.recorded?.seconds), "x", "more", 2.1, 2.5),
    row("prefill 128k, bf16, sparse", prefill("sparse", 128 * K)?.tokensPerSecond, "tokens/s", "more", 25_000, 31_000),
    row("decode at 128k, 4 bits, sparse", decode("w4", "sparse", 128 * K), "ms", "less", 2.6, 1.9),
    row("decode at 128k, 4 bits, sparse with recorded selections", decode("w4-recorded", "sparse", 128 * K), "ms", "less", 2.6, 1.9),
    row("decode at 128k, 4 bits, sparse over our dense", gain(128 * K), "x", "more", 1.35, 1.55),
    row("decode at 256k, 4 bits, sparse over our dense", gain(256 * K), "x", "more", 1.9, 2.3),
    row("decode at 512k, 4 bits, sparse over our dense", gain(512 * K), "x", "more", 2.9, 3.7),
    row("growth of sparse decode from 32k to 512k, 4 bits", over(decode("w4", "sparse", 512 * K), decode("w4", "sparse", 32 * K)), "x", "less", 1.3, 1.1),
    row("decode at 8k, bf16, dense: bandwidth floor over time", over(floor, decode("bf16", "dense", 8 * K)), "x", "more", 0.7, 0.85),
  ];
}

function over(numerator: number | undefined, denominator: number | undefined): number | undefined {
  return numerator === undefined || denominator === undefined ? undefined : numerator / denominator;
}

function row(what: string, measured: number | undefined, unit: Row["unit"], better: Row["better"], must: number, aim: number): Row {
  const met = (limit: number): boolean => measured !== undefined && (better === "more" ? measured >= limit : measured <= limit);
  return { what, measured: measured === undefined ? undefined : Number(measured.toPrecision(4)), unit, better, must, aim, mustMet: met(must), aimMet: met(aim) };
}
