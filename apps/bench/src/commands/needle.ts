import type { RegisterCommand } from "@infllm/command";
import { measureTasks } from "../quality/measure-tasks.ts";
import { inSession } from "../session.ts";
import { selectTasks } from "../tasks/registry.ts";
import { styleOf } from "./ruler.ts";
import { addSyntheticOptions, addTaskOptions, fromSampleOption, lengthsOption, samplesOption, tasksOptions, usualLengths, type TaskFlags } from "./task-options.ts";

interface Flags extends TaskFlags {
  readonly lengths: readonly number[];
  readonly samples: number;
  readonly fromSample: number;
}

/** The needle task hides its number at depths 0, 0.1, … 1, one sample each. */
export const needleDepths = 11;

const help = `
One number hides in a book at each of ${needleDepths} depths; the report draws depth by length as a heat map.

Example:
  infllm-bench needle --methods full,infllm-v2 --lengths 1024,4096,16384
`;

export const needle: RegisterCommand = (program, io) => {
  const command = program
    .command("needle")
    .description("Find one number at every depth of a long text, as a picture.")
    .addOption(lengthsOption(usualLengths, "tokens of prompt and answer"))
    .addOption(samplesOption(needleDepths, "samples, which take the depths in turn"))
    .addOption(fromSampleOption());
  addTaskOptions(command, ["full", "infllm-v2"]);
  addSyntheticOptions(command)
    .addHelpText("after", help)
    .action((flags: Flags) =>
      inSession(flags, io, async (session) => {
        const { samples, fromSample, lengths } = flags;
        const style = flags.style ?? styleOf(flags.model);
        await measureTasks(session, "needle", selectTasks(["needle"]), { ...(await tasksOptions(flags)), style, samples, fromSample, lengths });
      }),
    );
};
