/** Python around the answers to contest problems, which count on a contest site's imports. */

const star = ["string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"];
const named = ["string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools", "functools", "operator", "io", "sys", "json"];

/** The imports and the depth of recursion that LiveCodeBench gives every program. */
export const prelude = `${star.map((module) => `from ${module} import *\n`).join("")}import ${named.join(", ")}\nsys.setrecursionlimit(50000)\n`;

/**
 * Calls a method of `Solution` with the arguments of a test, one JSON value a line, compares its result as JSON and
 * prints `right` as the last line where they agree. What the answer prints itself does not count.
 * @param right a word that the answer cannot know
 */
export function callDriver(method: string, right: string): string {
  return `

import json as _json, sys as _sys
_test = _json.load(_sys.stdin)
_arguments = [_json.loads(_line) for _line in _test["input"].split("\\n") if _line.strip()]
_result = getattr(Solution(), ${JSON.stringify(method)})(*_arguments)
if _json.loads(_json.dumps(_result)) == _json.loads(_test["output"]):
    _sys.stdout.write("\\n${right}\\n")
`;
}
