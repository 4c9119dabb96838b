import { random } from "@infllm/tensor";

/** Ids below this are special tokens in the models that are timed here. */
const firstOrdinary = 4;

/** Token ids of a prompt for timing: its cost does not depend on the text. */
export function timedPrompt(length: number, vocabulary: number, seed: number): number[] {
  const numbers = random(seed);
  return Array.from({ length }, () => firstOrdinary + numbers.below(vocabulary - firstOrdinary));
}

/** Processor seconds that this process has used so far, all threads together. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
