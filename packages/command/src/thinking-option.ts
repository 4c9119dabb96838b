/** `--thinking` and `--no-thinking`: the switch of chat templates that let a model reason before it answers. */
import type { ChatTemplateOptions, Model } from "@infllm/model";
import type { Command } from "commander";
import { BadUsageError } from "./exit-codes.ts";

export interface ThinkingOptions {
  /** What the template does by itself when absent. */
  readonly thinking?: boolean;
}

/** The template's variable, as Qwen3 and MiniCPM4.1 name it. */
const SWITCH = "enable_thinking";

export function addThinkingOptions(command: Command): Command {
  return command
    .option("--thinking", "let the model reason before it answers, where its chat template has that switch")
    .option("--no-thinking", "have it answer at once (default: as the template does)");
}

/** The variables for the model's chat template; undefined where it decides by itself. @throws BadUsageError where there is no such switch */
export function thinkingTemplate(model: Model, { thinking }: ThinkingOptions): ChatTemplateOptions | undefined {
  if (thinking === undefined) return undefined;
  if (model.tokenizer.templateReads(SWITCH)) return { [SWITCH]: thinking };
  throw new BadUsageError(
    `${thinking ? "--thinking" : "--no-thinking"} has no effect on ${model.description.name}: its chat template has no switch for it. Leave it out.`,
  );
}
