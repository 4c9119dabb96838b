import {
  backendOption,
  count,
  decimal,
  integer,
  type Io,
  jsonOption,
  Progress,
  type RegisterCommand,
  threadsOption,
  usageErrors,
  useModel,
  wrap,
} from "@infllm/command";
import { demoText, hideFact } from "@infllm/demo-text";
import type { Model } from "@infllm/model";
import { InvalidArgumentError, Option } from "commander";
import { answerTokens, ask, timedTokens, warmUp, type Answer } from "../demo/ask.ts";
import { describeReport, report } from "../demo/report.ts";
import { showsUnicode } from "../terminal/block-map.ts";

interface Options {
  readonly tokens: number;
  readonly depth: number;
  readonly seed: number;
  readonly backend: string;
  readonly threads?: number;
  readonly json?: true;
}

/** Room behind the prompt, so that `--tokens` can be all that the embedded model was trained for but this. */
const room = Math.max(answerTokens, timedTokens + 1) + 1;
const mostTokens = 32_768 - room;

const help = `
The embedded model reads a passage of Moby-Dick with a made-up fact in it and is asked for the fact, once with dense
and once with block-sparse attention, on the same weights. Trust its answers up to about 16,384 tokens.

Examples:
  infllm demo
  infllm demo --tokens 16384 --depth 0.2 --seed 7
  infllm demo --json | jq .prefillRatio
`;

export const demo: RegisterCommand = (program, io) => {
  program
    .command("demo")
    .description("Ask the embedded model about a long text, dense and sparse, and compare.")
    .addOption(new Option("--tokens <count>", "length of the prompt").argParser(integer({ min: 256, max: mostTokens })).default(8192))
    .addOption(new Option("--depth <share>", "where the fact hides: 0 or 0% start, 1 or 100% end").argParser(share).default(0.5))
    .addOption(
      new Option("--seed <number>", "picks passage, key word and number").argParser(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })).default(1),
    )
    .addOption(backendOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((options: Options) => run(options, io));
};

/** `0.25` or `25%`. */
function share(text: string): number {
  if (!text.endsWith("%")) return decimal({ min: 0, max: 1 })(text);
  const percent = Number(text.slice(0, -1) || Number.NaN);
  if (!(percent >= 0 && percent <= 100)) throw new InvalidArgumentError("Allowed: 0 to 1, or 0% to 100%.");
  return percent / 100;
}

async function run(options: Options, io: Io): Promise<void> {
  const { backend, threads, tokens } = options;
  const text = await demoText();
  await useModel({ model: "embedded", backend, threads, contextLength: tokens + room }, io, (model) =>
    compare(model, text, options, io),
  );
}

async function compare(model: Model, text: string, options: Options, io: Io): Promise<void> {
  const { tokens, depth, seed, backend } = options;
  const say = (line: string): void => {
    if (!options.json) io.stdout.write(line);
  };
  const columns = Math.max(40, io.stdout.columns ?? 100);
  const around = model.promptIds([{ role: "user", content: "" }]).length;
  const { tokenizer } = model;
  const codec = {
    encode: (part: string) => tokenizer.encode(part, { special: false }),
    decode: (ids: readonly number[]) => tokenizer.decode(ids),
  };
  const fact = usageErrors(() => hideFact(codec, { text, tokens: tokens - around, depth, seed }));
  const ids = model.promptIds([{ role: "user", content: fact.message }]);
  const factTokens = [fact.factFrom + around - 1, fact.factTo + around - 1] as const;

  say(wrap(`${model.backend.name}: ${model.backend.capabilities.description}`, columns));
  say(`\nIn ${count(ids.length)} tokens of Moby-Dick, at ${Math.round(depth * 100)} %, hides the sentence\n`);
  say(wrap(fact.expected, columns, "  "));
  say(`The model (${count(model.description.parameters)} parameters) is asked:\n`);
  say(wrap(fact.question, columns, "  "));

  const { signal } = io.interrupts;
  await warmUp(model, ids, signal);
  const asked = async (attention: "dense" | "sparse"): Promise<Answer> => {
    const progress = new Progress(io.stderr);
    let label = attention === "dense" ? "\nDense:  " : "Sparse: ";
    return ask(model, ids, attention, {
      signal,
      onPrefill: (processed, total) => progress.update(`Reading (${attention})`, processed, total),
      onPiece(piece) {
        progress.clear();
        // Not earlier: the progress line would overwrite it.
        say(label + piece);
        label = "";
      },
    }).finally(() => {
      progress.clear();
      say("\n");
    });
  };
  const dense = await asked("dense");
  const sparse = await asked("sparse");

  const found = report({ model, backend, seed, depth, fact, factTokens, dense, sparse });
  if (options.json) io.stdout.write(`${JSON.stringify(found, undefined, 2)}\n`);
  else io.stdout.write(`\n${describeReport(found, columns, showsUnicode(io.env))}`);
}
