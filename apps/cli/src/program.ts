import type { ProgramInfo } from "@infllm/command";
import { version } from "../package.json";
import { commands } from "./commands/index.ts";

export const program: ProgramInfo = {
  name: "infllm",
  version,
  description: "Runs language models over long texts: attention is dense on short input and block-sparse on long input.",
  example: ["infllm demo", "ask the embedded model about a long text, dense and sparse"],
  commands,
};
