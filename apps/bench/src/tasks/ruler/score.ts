/** RULER's scores (scripts/eval/synthetic/constants.py): case-blind, a reference counts wherever it occurs in the output. */
import type { GenerationSample, Score } from "../task.ts";

/** Share of the references found, `string_match_all`. */
export function matchAll(sample: GenerationSample, output: string): Score {
  const found = foundIn(sample.expected, output);
  return { value: found.length / sample.expected.length, details: { found } };
}

/** Whether any reference is found, `string_match_part`. */
export function matchPart(sample: GenerationSample, output: string): Score {
  const found = foundIn(sample.expected, output);
  return { value: found.length > 0 ? 1 : 0, details: { found } };
}

function foundIn(expected: readonly string[], output: string): string[] {
  const text = output.toLowerCase();
  return expected.filter((reference) => text.includes(reference.toLowerCase()));
}
