import { BadUsageError, type Io, jsonOption, Progress, type RegisterCommand } from "@infllm/command";
import { pullModel } from "@infllm/model";
import { ConfigError, formatBytes } from "@infllm/tensor";

interface Options {
  readonly cacheDir?: string;
  readonly json?: true;
}

const help = `
An interrupted download goes on where it stopped when the same command runs again. Private and gated models need a
token in HF_TOKEN. Without --cache-dir, INFLLM_CACHE or else ~/.cache/infllm keeps the files.

Examples:
  infllm pull hf:HuggingFaceTB/SmolLM2-135M-Instruct
  infllm pull hf:Qwen/Qwen3-0.6B-GGUF:Q8_0 --json
`;

export const pull: RegisterCommand = (program, io) => {
  program
    .command("pull")
    .description("Download a model from Hugging Face into the cache.")
    .argument("<model>", "hf:org/name, hf:org/name:Q8_0 or hf:org/name/file.gguf, each with an optional @revision")
    .option("--cache-dir <folder>", "where to keep downloads")
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((model: string, options: Options) => run(model, options, io));
};

async function run(source: string, { cacheDir, json }: Options, io: Io): Promise<void> {
  if (!source.startsWith("hf:")) {
    const looksRight = /^\w[\w.-]*\/[\w.-]+/.test(source);
    const hint = looksRight ? `Write hf:${source}.` : "Folders, files and embedded need no download.";
    throw new BadUsageError(`"${source}" is no model on Hugging Face; names look like hf:org/name. ${hint}`);
  }
  const progress = new Progress(io.stderr);
  const { HF_ENDPOINT: hubUrl, HF_TOKEN: token } = io.env;
  const pulled = await pullModel(source, {
    ...(cacheDir !== undefined && { cacheDir }),
    ...(hubUrl !== undefined && { hubUrl }),
    ...(token !== undefined && { token }),
    signal: io.interrupts.signal,
    onProgress: ({ file, loaded, total }) => progress.update(file, loaded, total, "bytes"),
  })
    .catch((error: unknown) => {
      // What it calls a config is the name or the environment.
      throw error instanceof ConfigError ? new BadUsageError(error.message, { cause: error }) : error;
    })
    .finally(() => progress.clear());
  if (json) {
    io.stdout.write(`${JSON.stringify({ model: source, ...pulled }, undefined, 2)}\n`);
    return;
  }
  io.stdout.write(`${pulled.files.length} files, ${formatBytes(pulled.bytes)}, in ${pulled.folder}\n`);
}
