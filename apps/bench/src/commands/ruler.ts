import type { RegisterCommand } from "@infllm/command";
import { measureTasks } from "../quality/measure-tasks.ts";
import { inSession } from "../session.ts";
import { selectTasks } from "../tasks/registry.ts";
import type { Task } from "../tasks/task.ts";
import { familyTasks } from "./task-families.ts";
import { addDataOption, addSyntheticOptions, addTaskOptions, fromSampleOption, lengthsOption, namesOption, samplesOption, tasksOptions, usualLengths, type TaskFlags } from "./task-options.ts";

interface Flags extends TaskFlags {
  readonly tasks?: readonly string[];
  readonly samples: number;
  readonly fromSample: number;
  readonly lengths: readonly number[];
}

const help = `
RULER (arXiv 2404.06654): 13 synthetic tasks at any length. The embedded model answers only wordings that it was trained
on, so by default it gets these (--style tiny) and the tasks that have them.

Examples:
  infllm-bench ruler --lengths 1024,4096,16384 --methods full,infllm-v2
  infllm-bench ruler --model hf:openbmb/MiniCPM4-0.5B --tasks niah_single_1,vt,cwe --samples 50
`;

export const ruler: RegisterCommand = (program, io) => {
  const command = program
    .command("ruler")
    .description("Run RULER's tasks under several attention methods.")
    .addOption(namesOption("--tasks <list>", "names of tasks (default: all that the prompt style has)"))
    .addOption(lengthsOption(usualLengths, "tokens of prompt and answer"))
    .addOption(samplesOption(10))
    .addOption(fromSampleOption());
  addDataOption(addSyntheticOptions(addTaskOptions(command)))
    .addHelpText("after", help)
    .action((flags: Flags) =>
      inSession(flags, io, async (session) => {
        const style = flags.style ?? styleOf(flags.model);
        const tasks = rulerTasks(flags.tasks, style);
        const { samples, fromSample, lengths } = flags;
        await measureTasks(session, "ruler", tasks, { ...(await tasksOptions(flags)), style, samples, fromSample, lengths });
      }),
    );
};

/** The embedded model knows its own wordings only. */
export function styleOf(model: string): "tiny" | "benchmark" {
  return model.startsWith("embedded") ? "tiny" : "benchmark";
}

/** @throws BadUsageError for unknown tasks, and for those of other families */
export function rulerTasks(names: readonly string[] | undefined, style: "tiny" | "benchmark"): Task[] {
  if (names === undefined) return selectTasks(["ruler"]).filter((task) => task.styles.includes(style));
  return familyTasks(names, ["ruler"], "ruler");
}
