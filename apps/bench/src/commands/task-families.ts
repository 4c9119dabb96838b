/** `longbench` and `reasoning`: tasks over data sets, at the length of their data. */
import { BadUsageError, integer, largestLength, usageErrors, type RegisterCommand } from "@infllm/command";
import { Option } from "commander";
import { measureTasks } from "../quality/measure-tasks.ts";
import { inSession } from "../session.ts";
import { families as registered, selectTasks } from "../tasks/registry.ts";
import type { Task } from "../tasks/task.ts";
import { addDataOption, addTaskOptions, fromSampleOption, lengthsOption, namesOption, samplesOption, tasksOptions, type TaskFlags } from "./task-options.ts";

interface Flags extends TaskFlags {
  readonly tasks?: readonly string[];
  readonly samples: number;
  readonly fromSample: number;
  readonly lengths?: readonly number[];
  readonly allowNetwork?: true;
  readonly maxAnswer?: number;
}

interface FamilyCommand {
  readonly name: string;
  readonly families: readonly string[];
  readonly description: string;
  readonly help: string;
  /** Whether answers may be programs. */
  readonly programs?: boolean;
}

const longbenchCommand: FamilyCommand = {
  name: "longbench",
  families: ["longbench"],
  description: "Run LongBench's tasks by its own metrics.",
  help: `
LongBench (arXiv 2308.14508). --data names the folder with its files (narrativeqa.jsonl, …); without it, the few samples of
this package show that everything works, and nothing more.

Examples:
  infllm-bench longbench
  infllm-bench longbench --model ./MiniCPM4-8B --data ./LongBench/data --tasks narrativeqa,qasper --samples 200
`,
};

const reasoningCommand: FamilyCommand = {
  name: "reasoning",
  families: ["knowledge", "reasoning", "code"],
  description: "Run MMLU, C-Eval, MATH-500, AIME, HumanEval and LiveCodeBench.",
  help: `
Choices are compared by log-likelihood, boxed answers as mathematics, programs by running them in a sandbox with limits of
time and memory and no network. --data names a data set's file or folder; give --tasks with it.

Examples:
  infllm-bench reasoning
  infllm-bench reasoning --model ./MiniCPM4-8B --tasks mmlu --data ./mmlu/data --samples 1000
`,
  programs: true,
};

export const longbench = familyCommand(longbenchCommand);
export const reasoning = familyCommand(reasoningCommand);

function familyCommand({ name, families, description, help, programs }: FamilyCommand): RegisterCommand {
  return (program, io) => {
    const command = program
      .command(name)
      .description(description)
      .addOption(namesOption("--tasks <list>", "names of tasks (default: all)"))
      .addOption(lengthsOption(undefined, "cut the middle of longer texts out, to these lengths (default: what the model holds)"))
      .addOption(samplesOption(10))
      .addOption(fromSampleOption())
      .addOption(new Option("--max-answer <tokens>", "end answers here, also where a task allows more").argParser(integer({ min: 1, max: largestLength })));
    if (programs) command.option("--allow-network", "run programs although nothing keeps them from the network");
    addDataOption(addTaskOptions(command, ["full", "infllm-v2"]))
      .addHelpText("after", help)
      .action((flags: Flags) =>
        inSession(flags, io, async (session) => {
          const { samples, fromSample, lengths, allowNetwork, maxAnswer, data } = flags;
          if (data !== undefined && flags.tasks === undefined && name === "reasoning") {
            throw new BadUsageError("--data is the data of one task: name it with --tasks, such as --tasks mmlu --data ./mmlu.");
          }
          const tasks = familyTasks(flags.tasks, families, name);
          await measureTasks(session, name, tasks, { ...(await tasksOptions(flags)), samples, fromSample, lengths, allowNetwork, maxAnswer });
        }),
      );
  };
}

/** @throws BadUsageError for unknown tasks, and for those of other families */
export function familyTasks(names: readonly string[] | undefined, families: readonly string[], command: string): Task[] {
  const tasks = usageErrors(() => selectTasks(names ?? families.filter((family) => registered.includes(family))));
  const other = tasks.find(({ family }) => !families.includes(family));
  if (other !== undefined) throw new BadUsageError(`${other.name} is a task of ${other.family}; infllm-bench ${command} runs those of ${families.join(", ")}.`);
  return tasks;
}
