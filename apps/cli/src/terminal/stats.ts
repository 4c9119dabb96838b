import { count, duration, rate, table } from "@infllm/command";
import type { GenerateStats, HeldMemory, OpKind, OpTime, Profile } from "@infllm/model";
import { formatBytes } from "@infllm/tensor";

/** Lengths, speeds and memory of one answer, for people. */
export function describeStats(stats: GenerateStats, memory: HeldMemory): string {
  const read = stats.promptTokens - stats.cachedTokens;
  const followers = stats.generatedTokens - 1;
  const cached = stats.cachedTokens > 0 ? `cached     ${count(stats.cachedTokens)} more tokens of the prompt\n` : "";
  const seen = `${count(stats.visibleTokens)} of ${count(stats.promptTokens + followers)} tokens`;
  return (
    table([
      ["prompt   ", `${count(read)} tokens`, duration(stats.prefillSeconds), `${rate(read, stats.prefillSeconds)} tokens/s`],
      ["answer   ", `${count(stats.generatedTokens)} tokens`, duration(stats.decodeSeconds), `${rate(followers, stats.decodeSeconds)} tokens/s`],
    ]) +
    cached +
    describeTokenTimes(stats) +
    describeDrafts(stats) +
    `attention  ${stats.sparse ? "sparse" : "dense"}; the last query read ${seen}\n` +
    `stopped by ${stopReasons[stats.stopReason]}; seed ${stats.seed}\n` +
    describeMemory(memory) +
    (stats.profile === undefined ? "" : `\n${describeProfile(stats.profile)}`)
  );
}

function describeTokenTimes({ prefillSeconds, tokenSeconds, speculation }: GenerateStats): string {
  const first = `the first after ${short(prefillSeconds)}`;
  if (tokenSeconds === undefined) return `a token    ${first}\n`;
  const { p50, p90, p99 } = tokenSeconds;
  const together = speculation !== undefined && speculation.accepted > 0 ? "; those of a draft come together" : "";
  return `a token    ${first}, then ${short(p50)} (90 % within ${short(p90)}, 99 % within ${short(p99)}${together})\n`;
}

function describeDrafts({ speculation }: GenerateStats): string {
  if (speculation === undefined) return "";
  const { checks, drafted, accepted } = speculation;
  if (checks === 0) return "drafts     none: the text did not repeat, or checking drafts did not pay\n";
  return `drafts     ${count(accepted)} of ${count(drafted)} tokens accepted, in ${count(checks)} passes\n`;
}

function describeMemory(memory: HeldMemory): string {
  const parts: readonly [what: string, bytes: number | undefined][] = [
    ["weights", memory.weights],
    ["KV cache", memory.kvCache],
    ["compressed keys", memory.compressedKeys || undefined],
    ["buffers", memory.activations],
    ["scratch", memory.scratch],
    ["recorded steps", memory.recorded],
    ["host memory for copies", memory.staging],
  ];
  const known = parts.flatMap(([what, bytes]) => (bytes === undefined ? [] : [`${what} ${formatBytes(bytes)}`]));
  return `memory     ${known.join(", ")}\n`;
}

const kinds: readonly OpKind[] = ["attention", "selection", "products", "other"];

/** Shares of the prompt and of one token: by kind, then by op. */
function describeProfile({ prefill, decode }: Profile): string {
  const row = (what: string, of: (time: OpTime) => boolean): string[] => [
    what,
    ...[prefill, decode].flatMap((times) => {
      const seconds = (some: readonly OpTime[]): number => some.reduce((sum, time) => sum + time.seconds, 0);
      return [short(seconds(times.filter(of))), `${((100 * seconds(times.filter(of))) / seconds(times)).toFixed(1)} %`];
    }),
  ];
  const ops = [...new Set([...prefill, ...decode].map(({ op }) => op))];
  return table([
    ["op by op", "prompt", "", "a token", ""],
    ...kinds.flatMap((kind) => {
      const own = ops.filter((op) => [...prefill, ...decode].some((time) => time.op === op && time.kind === kind));
      return [row(kind, (time) => time.kind === kind), ...own.map((op) => row(`  ${op}`, (time) => time.op === op))];
    }),
  ]);
}

/** `1.23 s`, `4.56 ms`, `12.3 us`. */
function short(seconds: number): string {
  if (seconds >= 1) return duration(seconds);
  const [value, unit] = seconds >= 1e-3 ? [seconds * 1e3, "ms"] : [seconds * 1e6, "us"];
  return `${value.toPrecision(3)} ${unit}`;
}

const stopReasons: Readonly<Record<GenerateStats["stopReason"], string>> = {
  eos: "the model's end token",
  stop: "a stop text",
  length: "--max-tokens",
  context: "the end of the context",
};
