import type { AttentionMode } from "@infllm/attention";
import {
  addSparseOptions,
  addThinkingOptions,
  backendOption,
  count,
  decimal,
  integer,
  type Io,
  kvCacheOption,
  largestLength,
  modelOption,
  type RegisterCommand,
  type SparseOptions,
  sparseOverrides,
  thinkingTemplate,
  type ThinkingOptions,
  threadsOption,
  useModel,
} from "@infllm/command";
import type { CacheDType } from "@infllm/tensor";
import { Option } from "commander";
import { Conversation } from "../chat/conversation.ts";
import { addSpeculationOptions, speculation, type SpeculationOptions } from "../speculation.ts";
import { lineReader } from "../terminal/lines.ts";

interface Options extends SparseOptions, SpeculationOptions, ThinkingOptions {
  readonly model: string;
  readonly system?: string;
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly attention: AttentionMode;
  readonly context?: number;
  readonly backend: string;
  readonly threads?: number;
  readonly kvCache?: CacheDType;
}

const help = `
In the chat, /help lists what else can be typed. Ctrl-C stops an answer; at the prompt it leaves the chat. From a
pipe, every line is a message.

Example:
  infllm chat --model hf:HuggingFaceTB/SmolLM2-135M-Instruct --context 8192
`;

export const chat: RegisterCommand = (program, io) => {
  const command = program
    .command("chat")
    .description("Talk with a model; what was said stays in the cache between turns.")
    .addOption(modelOption())
    .option("--system <text>", "a system message to begin with, where the model's chat template has one")
    .addOption(new Option("--max-tokens <count>", "longest answer").argParser(integer({ min: 1, max: largestLength })).default(512))
    .addOption(new Option("--temperature <number>", "0 always takes the most likely token").argParser(decimal({ min: 0, max: 100 })))
    .addOption(new Option("--top-p <number>", "sample among the most likely tokens up to this probability").argParser(decimal({ min: 1e-6, max: 1 })))
    .addOption(new Option("--seed <number>", "repeat the same random draws").argParser(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })))
    .addOption(
      new Option("--attention <mode>", "auto: sparse from the model's dense length on").choices(["auto", "dense", "sparse"]).default("auto"),
    );
  addThinkingOptions(command);
  addSparseOptions(command)
    .addOption(
      new Option("--context <tokens>", "room for the whole chat (default: what the model was trained for, at most 16384)").argParser(
        integer({ min: 1, max: largestLength }),
      ),
    )
    .addOption(backendOption())
    .addOption(threadsOption())
    .addOption(kvCacheOption());
  addSpeculationOptions(command)
    .addHelpText("after", help)
    .action((options: Options) => run(options, io));
};

async function run(options: Options, io: Io): Promise<void> {
  const { model: name, backend, threads, kvCache, context: contextLength, attention } = options;
  const speculate = speculation(options);
  const sparse = sparseOverrides(options) ?? (attention === "sparse" ? {} : undefined);
  await useModel({ model: name, backend, threads, contextLength, kvCache, sparse }, io, async (model) => {
    const conversation = new Conversation(model, { ...options, speculate, template: thinkingTemplate(model, options) }, io);
    if (io.stdin.isTTY) {
      const { name: title, parameters } = model.description;
      io.stdout.write(
        `${title}, ${count(parameters)} parameters, room for ${count(model.contextLength)} tokens. /help lists commands.\n`,
      );
    }
    const reader = lineReader(io);
    try {
      for (;;) {
        const line = await reader.next("> ");
        if (line === undefined || !(await conversation.take(line))) return;
      }
    } finally {
      reader.close();
    }
  });
}
