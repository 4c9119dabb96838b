import type { AttentionMode } from "@infllm/attention";
import { sparseConfig } from "@infllm/block-selection";
import {
  addSparseOptions,
  addThinkingOptions,
  backendOption,
  BadUsageError,
  count,
  decimal,
  integer,
  type Io,
  jsonOption,
  kvCacheOption,
  largestLength,
  modelOption,
  Progress,
  readAll,
  readText,
  type RegisterCommand,
  type SparseOptions,
  sparseOverrides,
  thinkingTemplate,
  type ThinkingOptions,
  threadsOption,
  useModel,
} from "@infllm/command";
import type { GenerateStats, Model, ModelDescription, Prompt, SpeculateOptions } from "@infllm/model";
import { ShapeError, type CacheDType } from "@infllm/tensor";
import { Option } from "commander";
import { addSpeculationOptions, speculation, type SpeculationOptions } from "../speculation.ts";
import { describeStats } from "../terminal/stats.ts";

interface Options extends SparseOptions, SpeculationOptions, ThinkingOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly promptFile?: string;
  readonly raw?: true;
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly attention: AttentionMode;
  readonly context?: number;
  readonly backend: string;
  readonly threads?: number;
  readonly kvCache?: CacheDType;
  readonly stats?: true;
  readonly profile?: true;
  readonly json?: true;
}

const help = `
The prompt comes from --prompt, from --prompt-file, or from standard input; one line end at its end is dropped.
A model with a chat template gets it as a user's message; --raw passes it as plain text to continue. Sampling
defaults to what the model suggests, greedy (temperature 0) when it suggests nothing.

Examples:
  infllm generate --prompt "Once upon a time" --raw --max-tokens 40
  infllm generate --prompt-file code.txt --speculate --stats
  cat report.txt question.txt | infllm generate --model ./my-model --attention sparse --stats
`;

export const generate: RegisterCommand = (program, io) => {
  const command = program
    .command("generate")
    .description("Answer or continue a prompt.")
    .addOption(modelOption())
    .option("--prompt <text>", "the prompt")
    .addOption(new Option("--prompt-file <file>", "read the prompt from a file").conflicts("prompt"))
    .option("--raw", "continue the prompt as plain text, without the chat template")
    .addOption(new Option("--max-tokens <count>", "stop after this many").argParser(integer({ min: 1, max: largestLength })).default(256))
    .addOption(new Option("--temperature <number>", "0 always takes the most likely token").argParser(decimal({ min: 0, max: 100 })))
    .addOption(new Option("--top-p <number>", "sample among the most likely tokens up to this probability").argParser(decimal({ min: 1e-6, max: 1 })))
    .addOption(new Option("--top-k <count>", "sample among this many; 0: all").argParser(integer({ min: 0, max: 2 ** 24 })))
    .addOption(new Option("--seed <number>", "repeat the same random draws").argParser(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })))
    .addOption(
      new Option("--attention <mode>", "auto: sparse from the model's dense length on").choices(["auto", "dense", "sparse"]).default("auto"),
    );
  addThinkingOptions(command);
  addSparseOptions(command)
    .addOption(
      new Option("--context <tokens>", "room for prompt and answer (default: what the model was trained for, at most 16384)").argParser(
        integer({ min: 1, max: largestLength }),
      ),
    )
    .addOption(backendOption())
    .addOption(threadsOption())
    .addOption(kvCacheOption());
  addSpeculationOptions(command)
    .option("--stats", "print lengths, speeds and memory to stderr at the end")
    .option("--profile", "the same, and where the time goes op by op; slower")
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((options: Options) => run(options, io));
};

async function run(options: Options, io: Io): Promise<void> {
  const speculate = speculation(options);
  const text = await promptText(options, io);
  const { model, backend, threads, kvCache, context: contextLength } = options;
  await useModel({ model, backend, threads, contextLength, kvCache, sparse: sparseChanges(options) }, io, (loaded) =>
    answer(loaded, text, options, speculate, io),
  );
}

async function answer(model: Model, text: string, options: Options, speculate: SpeculateOptions | undefined, io: Io): Promise<void> {
  const asChat = model.tokenizer.hasChatTemplate && !options.raw;
  if (options.raw && options.thinking !== undefined) throw new BadUsageError("--raw goes without a chat template, which --thinking is about; leave one of them out.");
  const template = thinkingTemplate(model, options);
  const ids = model.promptIds(asChat ? [{ role: "user", content: text }] : text, template);
  requireRoom(ids.length, model);
  if (options.attention === "auto") io.stderr.write(sparseHint(ids.length, model.description) ?? "");
  const progress = new Progress(io.stderr);
  const { maxTokens, temperature, topP, topK, seed, attention, profile } = options;
  let stats: GenerateStats | undefined;
  let written = "";
  const pieces = model.generate(ids satisfies Prompt, {
    maxTokens,
    temperature,
    topP,
    topK,
    seed,
    attention,
    speculate,
    profile,
    signal: io.interrupts.signal,
    onPrefill: ({ processed, total }) => progress.update("Reading the prompt", processed, total),
    onFinish: (finished) => {
      stats = finished;
    },
  });
  try {
    for await (const piece of pieces) {
      progress.clear();
      written += piece;
      if (!options.json) io.stdout.write(piece);
    }
  } finally {
    progress.clear();
    if (!options.json && written !== "" && !written.endsWith("\n")) io.stdout.write("\n");
  }
  if (options.json) io.stdout.write(`${JSON.stringify({ text: written, stats, memory: model.memory() }, undefined, 2)}\n`);
  if ((options.stats || profile) && stats) io.stderr.write(`\n${describeStats(stats, model.memory())}`);
}

async function promptText(options: Options, io: Io): Promise<string> {
  if (options.prompt === undefined && options.promptFile === undefined && io.stdin.isTTY) {
    throw new BadUsageError("There is no prompt. Give --prompt or --prompt-file, or pipe text into the command.");
  }
  const text =
    options.prompt ?? (options.promptFile === undefined ? await readAll(io.stdin) : await readText(options.promptFile));
  const trimmed = text.replace(/\r?\n$/u, "");
  if (trimmed === "") {
    const source = options.prompt !== undefined ? "--prompt" : (options.promptFile ?? "standard input");
    throw new BadUsageError(`The prompt from ${source} is empty; a prompt needs at least one character.`);
  }
  return trimmed;
}

/** Overrides that were given; an empty set where a model without numbers of its own is to attend sparsely. */
function sparseChanges(options: Options): ReturnType<typeof sparseOverrides> {
  return sparseOverrides(options) ?? (options.attention === "sparse" ? {} : undefined);
}

/** How to switch sparse attention on, for prompts that a model with a sparse_config would read sparsely. */
export function sparseHint(tokens: number, { name, sparse }: Pick<ModelDescription, "name" | "sparse">): string | undefined {
  if (sparse !== undefined || tokens < sparseConfig().denseLen) return undefined;
  return (
    `${name} has no sparse_config, so these ${count(tokens)} tokens are read densely. ` +
    "--attention sparse reads them block by block; --attention dense leaves this note out.\n"
  );
}

function requireRoom(tokens: number, { contextLength, description }: Model): void {
  if (tokens < contextLength) return;
  const trained = `the model was trained for ${count(description.trainedContext)}`;
  throw new ShapeError(
    `The prompt has ${count(tokens)} tokens, but the context holds ${count(contextLength)}, the answer included. ` +
      `Shorten it, or make room with --context ${tokens + 256} (${trained}).`,
  );
}
