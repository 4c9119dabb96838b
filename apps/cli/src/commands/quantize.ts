import { BadUsageError, integer, type Io, jsonOption, openBackend, Progress, readText, type RegisterCommand, showLoading, threadsOption } from "@infllm/command";
import { DEFAULT_CALIBRATION_TOKENS, quantizeMethods, quantizeModel, type QuantizeMethod, type QuantizeProgress, type WrittenFolder } from "@infllm/model";
import { formatBytes } from "@infllm/tensor";
import { Option } from "commander";

interface Options {
  readonly out: string;
  readonly bits: string;
  readonly group: string;
  readonly method: QuantizeMethod;
  readonly calibration?: string;
  readonly tokens?: number;
  readonly threads?: number;
  readonly json?: true;
}

const help = `
The linear layers go to 4 bits, 128 columns sharing a scale and a zero point; embeddings, output matrix and norms stay as
they are. The folder is a GPTQ checkpoint: --model reads it, and so do other programs that read GPTQ.

rtn rounds every weight to nearest and takes a model of any size, one matrix at a time. gptq has the model read a text and
makes up for each rounding with the weights that act on the same inputs: closer to the model, for models that the cpu
backend can run. Take a text like those the model will read.

Examples:
  infllm quantize ./my-model --out ./my-model-4bit
  infllm quantize embedded --out tiny-4bit --method gptq --calibration book.txt --tokens 16384
`;

export const quantize: RegisterCommand = (program, io) => {
  program
    .command("quantize")
    .description("Write a model with its linear layers in 4 bits.")
    .argument("<model>", "a folder, a .gguf file, hf:org/name[@revision], or embedded")
    .requiredOption("--out <folder>", "the folder to write")
    .addOption(new Option("--bits <count>", "bits of a weight").choices(["4"]).default("4"))
    .addOption(new Option("--group <columns>", "columns that share a scale and a zero point").choices(["128"]).default("128"))
    .addOption(new Option("--method <name>", "rtn: to nearest; gptq: by what a text puts through the layers").choices(quantizeMethods).default("rtn"))
    .option("--calibration <file>", "the text that gptq reads")
    .addOption(
      new Option("--tokens <count>", `tokens of the text to read (default: ${DEFAULT_CALIBRATION_TOKENS})`).argParser(integer({ min: 1, max: 10_000_000 })),
    )
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((model: string, options: Options) => run(model, options, io));
};

async function run(source: string, options: Options, io: Io): Promise<void> {
  const { out, method, calibration, tokens } = options;
  if (method === "gptq" && calibration === undefined) {
    throw new BadUsageError("--method gptq needs --calibration with a text file; or take --method rtn.");
  }
  if (method === "rtn" && (calibration !== undefined || tokens !== undefined)) {
    throw new BadUsageError("--calibration and --tokens are for --method gptq; add it, or leave them out.");
  }
  const written = await quantized(source, options, io);
  if (options.json) {
    const { bits, group } = options;
    io.stdout.write(`${JSON.stringify({ model: source, method, bits: Number(bits), group: Number(group), ...written }, undefined, 2)}\n`);
    return;
  }
  io.stdout.write(`Wrote ${out}, ${formatBytes(written.bytes)}. Run it with: infllm generate --model ${out}\n`);
}

async function quantized(source: string, { out, method, calibration, tokens, threads }: Options, io: Io): Promise<WrittenFolder> {
  const progress = new Progress(io.stderr);
  const shared = { out, method, signal: io.interrupts.signal, onProgress: (state: QuantizeProgress) => show(progress, state) };
  try {
    if (calibration === undefined) return await quantizeModel(source, shared);
    const text = await readText(calibration);
    const backend = await openBackend("cpu", { threads });
    try {
      return await quantizeModel(source, { ...shared, calibration: { backend, text, tokens } });
    } finally {
      await backend.close();
    }
  } finally {
    progress.clear();
  }
}

function show(progress: Progress, { stage, name, done, total }: QuantizeProgress): void {
  if (stage === "calibration") progress.update("Reading the text", done, total);
  else if (stage === "rounding") progress.update("Quantising", done, total, "matrices");
  else showLoading(progress, { stage, name, done, total });
}
