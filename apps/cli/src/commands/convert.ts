import { type Io, jsonOption, Progress, type RegisterCommand, showLoading } from "@infllm/command";
import { convertModel, convertTypes, type ConvertType } from "@infllm/model";
import { formatBytes } from "@infllm/tensor";
import { Option } from "commander";

interface Options {
  readonly to: "gguf" | "safetensors";
  readonly dtype?: ConvertType;
  readonly out: string;
  readonly json?: true;
}

const help = `
Examples:
  infllm convert embedded --to gguf --dtype q8_0 --out tiny-q8_0.gguf
  infllm convert model.gguf --to safetensors --dtype bf16 --out ./model
`;

export const convert: RegisterCommand = (program, io) => {
  program
    .command("convert")
    .description("Write a model in another format or type.")
    .argument("<model>", "a folder, a .gguf file, hf:org/name[@revision], or embedded")
    .addOption(
      new Option("--to <format>", "one file with the tokenizer inside, or a Hugging Face folder")
        .choices(["gguf", "safetensors"])
        .makeOptionMandatory(),
    )
    .addOption(new Option("--dtype <type>", "type of the weight matrices (default: as stored)").choices(convertTypes))
    .requiredOption("--out <path>", "the .gguf file, or the folder, to write")
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((model: string, options: Options) => run(model, options, io));
};

async function run(source: string, { to, dtype, out, json }: Options, io: Io): Promise<void> {
  const progress = new Progress(io.stderr);
  const converted = await convertModel(source, {
    to,
    dtype,
    out,
    signal: io.interrupts.signal,
    onProgress(state) {
      if (state.stage === "download") showLoading(progress, state);
      else progress.update("Converting", state.done, state.total, "bytes");
    },
  }).finally(() => progress.clear());
  if (json) {
    io.stdout.write(`${JSON.stringify({ model: source, to, dtype: dtype ?? "stored", ...converted }, undefined, 2)}\n`);
    return;
  }
  io.stdout.write(`Wrote ${out}, ${formatBytes(converted.bytes)}.\n`);
}
