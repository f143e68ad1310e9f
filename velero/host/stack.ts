// Where something was thrown or said, from V8's text of a stack.

import { fileURLToPath } from 'node:url'

export type Frame = { file: string; line: number; function: string }

/** A single executable file names the bundle inside of it without a folder. */
const FRAME = /^ {4}at (?:async )?(?:(.+) \()?((?:file:\/\/)?\/[^()]*?|[\w-]+\.cjs):(\d+):\d+\)?$/

/** Innermost first; frames of Node itself and of native functions are left out: they say nothing about our code. */
export function framesOf(stack: string | undefined): Frame[] {
  return (stack ?? '').split('\n').flatMap((text) => {
    const [, name = '(module)', file, line] = FRAME.exec(text) ?? []
    return file === undefined ? [] : [{ file: pathOf(file), line: Number(line), function: name }]
  })
}

function pathOf(file: string): string {
  return file.startsWith('file:') ? fileURLToPath(file) : file
}

/** `file:line` of whoever called `callee`. */
export function callerOf(callee: (...args: never[]) => unknown): string {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callee)
  return placeOf(holder)
}

/** `file:line` where it was thrown; empty: the stack does not say. */
export function placeOf({ stack }: { stack?: string }): string {
  const [frame] = framesOf(stack)
  return frame === undefined ? '' : `${frame.file}:${frame.line}`
}
