import { count, duration, rate, table } from "@infllm/command";
import type { GenerateStats } from "@infllm/model";

/** Lengths and speeds of one answer, for people. */
export function describeStats(stats: GenerateStats): string {
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
    `attention  ${stats.sparse ? "sparse" : "dense"}; the last query read ${seen}\n` +
    `stopped by ${stopReasons[stats.stopReason]}; seed ${stats.seed}\n`
  );
}

const stopReasons: Readonly<Record<GenerateStats["stopReason"], string>> = {
  eos: "the model's end token",
  stop: "a stop text",
  length: "--max-tokens",
  context: "the end of the context",
};
