import { BadUsageError, integer, openBackend, readText, type RegisterCommand } from "@infllm/command";
import { inspectModel } from "@infllm/model";
import { Option } from "commander";
import { perplexityFigures, type ScoredText } from "../perplexity/figures.ts";
import { findKeyTokens, likelihoods } from "../perplexity/likelihoods.ts";
import { methodDefaults, methodModel, usualMethods } from "../quality/fitting.ts";
import { MethodModels } from "../quality/method-models.ts";
import { requireLengths } from "../quality/measure-tasks.ts";
import { chooseMethods, optionsOf } from "../quality/methods.ts";
import { Passages } from "../quality/passages.ts";
import { environment } from "../results/environment.ts";
import { modelIdentity } from "../results/model-identity.ts";
import type { Figures } from "../results/record.ts";
import type { Cell, CellContext } from "../results/run-cells.ts";
import { inSession, runPlan, type RunFlags, type Session } from "../session.ts";
import { addTaskOptions, lengthsOption } from "./task-options.ts";

export interface PerplexityOptions {
  readonly model: string;
  readonly methods?: readonly string[] | undefined;
  readonly lengths: readonly number[];
  readonly texts: number;
  readonly short?: number;
  readonly text?: string;
  readonly backend: string;
  readonly threads?: number;
}

/** The published short context of LongPPL. */
const mostShort = 4096;

const help = `
Mean negative log-likelihood by position on passages of a book, and LongPPL (arXiv 2410.23771): perplexity over key tokens,
those that full attention predicts at least 2 nats better with the whole text than with the last --short tokens, and with a
likelihood above e^-2. The evaluator that finds them is the model itself under full attention.

Example:
  infllm-bench perplexity --lengths 8192,16384 --texts 4 --methods full,infllm-v2,sliding-window
`;

export const perplexity: RegisterCommand = (program, io) => {
  const whole = (flag: string, text: string): Option => new Option(flag, text).argParser(integer({ min: 1, max: 1_000_000 }));
  const command = program
    .command("perplexity")
    .description("Measure likelihood by position, and LongPPL, under every attention method.")
    .addOption(lengthsOption([4096, 8192, 16_384], "tokens of each passage"))
    .addOption(whole("--texts <count>", "passages of each length").default(1))
    .addOption(whole("--short <tokens>", `short context of LongPPL (default: a quarter of the shortest length, at most ${mostShort})`))
    .option("--text <file>", "text to take passages from (default: a public-domain book)");
  addTaskOptions(command)
    .addHelpText("after", help)
    .action((options: PerplexityOptions & RunFlags) => inSession(options, io, (session) => measurePerplexity(session, options)));
};

/** @throws BadUsageError when a length is no longer than LongPPL's short context */
export async function measurePerplexity(session: Session, options: PerplexityOptions): Promise<void> {
  const { lengths, texts, text } = options;
  const description = await inspectModel(options.model, { signal: session.io.interrupts.signal });
  requireLengths(lengths, description.trainedContext);
  const short = options.short ?? Math.min(mostShort, Math.floor(Math.min(...lengths) / 4));
  const tooShort = lengths.find((length) => length <= short);
  if (tooShort !== undefined) throw new BadUsageError(`--lengths has ${tooShort}, which --short ${short} covers whole; LongPPL needs longer texts.`);
  const choices = chooseMethods(options.methods ?? (await usualMethods(options.model)), methodDefaults(description));
  const [full] = chooseMethods(["full"]);
  if (full === undefined) throw new Error("There is no full attention.");
  const passages = new Passages({ texts, seed: session.seed, text: text === undefined ? undefined : await readText(text) });
  const backend = await openBackend(options.backend, { threads: options.threads });
  const models = new MethodModels({ backend, contextLength: Math.max(...lengths), source: (choice) => methodModel(options.model, choice) });
  const keys = new Map<number, number[][]>();
  /** Key tokens of the passages of a length: found once, by full attention. */
  const keysOf = async (length: number, { signal }: CellContext): Promise<number[][]> => {
    const known = keys.get(length);
    if (known !== undefined) return known;
    const evaluator = await models.get(full, signal);
    const found: number[][] = [];
    for (const ids of await passages.of(evaluator, length)) found.push(await findKeyTokens(evaluator, ids, short, signal));
    keys.set(length, found);
    return found;
  };
  try {
    const cells = lengths.flatMap((length) =>
      choices.map((choice): Cell => ({
        cell: { length, method: choice.label },
        config: { ...passages.config, short, options: optionsOf(choice) },
        async run(context) {
          const counted = await keysOf(length, context);
          const model = await models.get(choice, context.signal);
          const scored: ScoredText[] = [];
          for (const [index, ids] of (await passages.of(model, length)).entries()) {
            scored.push({ logProbs: await likelihoods(model, ids, context.signal), keys: counted[index] ?? [] });
            context.progress("", index + 1, texts, "samples");
          }
          return perplexityFigures(scored);
        },
      })),
    );
    await runPlan(session, { suite: "perplexity", timed: false, model: await modelIdentity(options.model), environment: environment(backend), cells, describe });
  } finally {
    await models.close();
    await backend.close();
  }
}

function describe({ nll, longPpl, keyTokens }: Figures): string {
  const number = (value: unknown): string => (typeof value === "number" ? value.toFixed(3) : "–");
  return `NLL ${number(nll)} nats, LongPPL ${number(longPpl)} on ${String(keyTokens)} key tokens`;
}
