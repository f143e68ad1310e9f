// Finds the place of an error or a log call in V8's stack text.

import { fileURLToPath } from 'node:url'

type Frame = { file: string; line: number; function: string }

/** In a single executable file, frames name the bundle without a folder. */
const FRAME = /^ {4}at (?:async )?(?:(.+) \()?((?:file:\/\/)?\/[^()]*?|[\w-]+\.cjs):(\d+):\d+\)?$/

type Thrown = { stack?: string; message?: string }

/** Innermost first; frames of Node itself and of native functions are left out: they are not this project's code. */
export function framesOf(thrown: Thrown): Frame[] {
  return tracesOf(thrown).flatMap((text) => {
    const [, name = '(module)', file, line] = FRAME.exec(text) ?? []
    return file === undefined ? [] : [{ file: pathOf(file), line: Number(line), function: name }]
  })
}

/** The stack begins with the message, which may contain lines that look like frames. */
function tracesOf({ stack = '', message = '' }: Thrown): string[] {
  const begin = stack.indexOf(message)
  return stack.slice(begin < 0 ? 0 : begin + message.length).split('\n')
}

function pathOf(file: string): string {
  try {
    return file.startsWith('file:') ? fileURLToPath(file) : file
  } catch {
    return file // not a path on this machine
  }
}

/** `file:line` of the caller of `callee`. */
export function callerOf(callee: (...args: never[]) => unknown): string {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callee)
  return placeOf(holder)
}

/** `file:line` where the error was thrown; empty: the stack does not contain it. */
export function placeOf(thrown: Thrown): string {
  const [frame] = framesOf(thrown)
  return frame === undefined ? '' : `${frame.file}:${frame.line}`
}
