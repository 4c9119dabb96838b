import { ConfigError } from "@infllm/tensor";
import { editDistance } from "./edit-distance.ts";
import { codeTasks } from "./code/index.ts";
import { knowledgeTasks } from "./knowledge/index.ts";
import { longbenchTasks } from "./longbench/index.ts";
import { mathTasks } from "./math/index.ts";
import { needleTasks } from "./needle/index.ts";
import { rulerTasks } from "./ruler/index.ts";
import type { Task } from "./task.ts";

/** Every task there is, family by family, in the order of reports. */
export const tasks: readonly Task[] = [...rulerTasks, ...needleTasks, ...longbenchTasks, ...knowledgeTasks, ...mathTasks, ...codeTasks];

/** Names of the families, each a name for all its tasks. */
export const families: readonly string[] = [...new Set(tasks.map(({ family }) => family))];

/** The task of a name. @throws ConfigError that lists the nearest names, then all */
export function findTask(name: string): Task {
  const task = tasks.find((task) => task.name === name);
  if (task === undefined) throw unknownTask(name);
  return task;
}

/**
 * The tasks of several names, each a task's or a family's, without repeats.
 * @throws ConfigError on an unknown name
 */
export function selectTasks(names: readonly string[]): Task[] {
  const selected = names.flatMap((name) => (families.includes(name) ? tasks.filter(({ family }) => family === name) : [findTask(name)]));
  return [...new Set(selected)];
}

function unknownTask(name: string): ConfigError {
  const known = [...families, ...tasks.map((task) => task.name)];
  const near = known
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate) }))
    .filter(({ candidate, edits }) => edits <= Math.max(2, candidate.length / 3))
    .sort((a, b) => a.edits - b.edits)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
  const guess = near.length === 0 ? "" : ` Did you mean ${near.join(" or ")}?`;
  const all = families.map((family) => `  ${family}: ${tasks.filter((task) => task.family === family).map((task) => task.name).join(", ")}`);
  return new ConfigError(`There is no task "${name}".${guess} Give a task or a family (all its tasks):\n${all.join("\n")}`);
}
