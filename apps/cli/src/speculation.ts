/** The options of `generate` and `chat` that draft tokens. */
import { BadUsageError, integer, integerList } from "@infllm/command";
import type { SpeculateOptions } from "@infllm/model";
import { type Command, Option } from "commander";

export interface SpeculationOptions {
  readonly speculate?: true | number;
  readonly ngrams?: readonly number[];
}

export function addSpeculationOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--speculate [tokens]", "draft up to this many tokens (7) where the text repeats, and check them in one pass").argParser(
        integer({ min: 1, max: 63 }),
      ),
    )
    .addOption(
      new Option("--ngrams <shortest,longest>", "tokens that must agree for a draft (default: 1,3)").argParser(integerList({ min: 1, max: 8 })),
    );
}

/** Undefined where nothing is drafted. @throws BadUsageError */
export function speculation({ speculate, ngrams }: SpeculationOptions): SpeculateOptions | undefined {
  if (ngrams !== undefined && speculate === undefined) throw new BadUsageError("--ngrams says how drafts are looked up; it needs --speculate.");
  if (speculate === undefined) return undefined;
  const tokens = speculate === true ? {} : { tokens: speculate };
  if (ngrams === undefined) return tokens;
  const [shortest = 0, longest = 0] = ngrams;
  if (ngrams.length !== 2 || shortest > longest) {
    throw new BadUsageError(`--ngrams is ${ngrams.join()}; it must be two numbers, the shorter one first, such as 1,3.`);
  }
  return { ...tokens, ngrams: [shortest, longest] };
}
