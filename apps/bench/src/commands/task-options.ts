/** Options of the commands that run tasks. */
import { backendOption, integer, integerList, largestLength, modelOption, readText, threadsOption } from "@infllm/command";
import { Option, type Command } from "commander";
import { methodsOption } from "../quality/methods.ts";
import type { TasksOptions } from "../quality/measure-tasks.ts";
import { addRunOptions, type RunFlags } from "../session.ts";
import { promptStyles, type PromptStyle } from "../tasks/task.ts";

export interface TaskFlags extends RunFlags {
  readonly model: string;
  readonly methods?: readonly string[];
  readonly style?: PromptStyle;
  readonly haystack?: string;
  readonly data?: string;
  readonly backend: string;
  readonly threads?: number;
}

export function addTaskOptions(command: Command, methods?: readonly string[]): Command {
  command.addOption(modelOption()).addOption(methodsOption(methods)).addOption(backendOption()).addOption(threadsOption());
  return addRunOptions(command);
}

export function samplesOption(byDefault: number, text = "samples of each task, the same for every method"): Option {
  return new Option("--samples <count>", text)
    .argParser(integer({ min: 1, max: 1_000_000 }))
    .default(byDefault);
}

/** Several runs, on several machines, can share the samples of a task: a report puts their lines together. */
export function fromSampleOption(): Option {
  return new Option("--from-sample <number>", "first sample, from 0: more samples of a task, or a share of them")
    .argParser(integer({ min: 0, max: 1_000_000 }))
    .default(0);
}

/** Lengths that the embedded model can be trusted with. */
export const usualLengths: readonly number[] = [1024, 2048, 4096, 8192, 16_384];

export function lengthsOption(byDefault: readonly number[] | undefined, text: string): Option {
  const option = new Option("--lengths <list>", text).argParser(integerList({ min: 64, max: largestLength }));
  return byDefault === undefined ? option : option.default(byDefault, byDefault.join(","));
}

export function namesOption(flag: string, text: string): Option {
  return new Option(flag, text).argParser((given: string) => given.split(",").map((name) => name.trim()));
}

/** `--style` and `--haystack`, of tasks that are made up. */
export function addSyntheticOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--style <name>", "wording of prompts; tiny is what the embedded model was trained on (default: by the model)").choices(promptStyles),
    )
    .option("--haystack <file>", "text in which needles hide (default: a public-domain book)");
}

/** `--data`, of tasks that read files. */
export function addDataOption(command: Command): Command {
  return command.option("--data <path>", "file or folder of the data set (default: the few samples that come with this package)");
}

/** What the flags say, with files read. @throws NotAvailableError */
export async function tasksOptions({ haystack, data, style, model, ...flags }: TaskFlags): Promise<Omit<TasksOptions, "lengths" | "samples">> {
  return {
    ...flags,
    model,
    style,
    ...(haystack !== undefined && { haystack: await readText(haystack) }),
    data: data === undefined ? { kind: "fixture" } : { kind: "path", path: data },
  };
}
