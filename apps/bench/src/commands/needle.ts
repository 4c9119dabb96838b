import { integer, type RegisterCommand } from "@infllm/command";
import { Option } from "commander";
import { measureTasks } from "../quality/measure-tasks.ts";
import { inSession } from "../session.ts";
import { selectTasks } from "../tasks/registry.ts";
import { styleOf } from "./ruler.ts";
import { addSyntheticOptions, addTaskOptions, lengthsOption, tasksOptions, usualLengths, type TaskFlags } from "./task-options.ts";

interface Flags extends TaskFlags {
  readonly lengths: readonly number[];
  readonly rounds: number;
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
    .addOption(new Option("--rounds <count>", "samples of each depth").argParser(integer({ min: 1, max: 1000 })).default(1));
  addTaskOptions(command, ["full", "infllm-v2"]);
  addSyntheticOptions(command)
    .addHelpText("after", help)
    .action((flags: Flags) =>
      inSession(flags, io, async (session) => {
        const options = { ...(await tasksOptions(flags)), style: flags.style ?? styleOf(flags.model), lengths: flags.lengths };
        await measureTasks(session, "needle", selectTasks(["needle"]), { ...options, samples: needleDepths * flags.rounds });
      }),
    );
};
