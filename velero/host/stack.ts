// Where something was thrown or said, from V8's text of a stack.

import { fileURLToPath } from 'node:url'

export type Frame = { file: string; line: number; function: string }

/** A single executable file names the bundle inside of it without a folder. */
const FRAME = /^ {4}at (?:async )?(?:(.+) \()?((?:file:\/\/)?\/[^()]*?|[\w-]+\.cjs):(\d+):\d+\)?$/

type Thrown = { stack?: string; message?: string }

/** Innermost first; frames of Node itself and of native functions are left out: they say nothing about our code. */
export function framesOf(thrown: Thrown): Frame[] {
  return tracesOf(thrown).flatMap((text) => {
    const [, name = '(module)', file, line] = FRAME.exec(text) ?? []
    return file === undefined ? [] : [{ file: pathOf(file), line: Number(line), function: name }]
  })
}

/** The stack begins with the message, which may hold lines of anybody's that look like frames. */
function tracesOf({ stack = '', message = '' }: Thrown): string[] {
  const begin = stack.indexOf(message)
  return stack.slice(begin < 0 ? 0 : begin + message.length).split('\n')
}

function pathOf(file: string): string {
  try {
    return file.startsWith('file:') ? fileURLToPath(file) : file
  } catch {
    return file // no path on this machine
  }
}

/** `file:line` of whoever called `callee`. */
export function callerOf(callee: (...args: never[]) => unknown): string {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callee)
  return placeOf(holder)
}

/** `file:line` where it was thrown; empty: the stack does not say. */
export function placeOf(thrown: Thrown): string {
  const [frame] = framesOf(thrown)
  return frame === undefined ? '' : `${frame.file}:${frame.line}`
}
