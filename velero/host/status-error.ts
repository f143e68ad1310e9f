// A thrown error as the gRPC status that Velero's plugin client understands: UNKNOWN, the message, and the stack as a detail.

import { Metadata, type ServerErrorResponse, status } from '@grpc/grpc-js'
import { cut } from '#shared/kernel/cut.ts'
import { encode } from './codec.ts'
import { errorWords, readableError } from './error-words.ts'
import type { Message } from './messages.ts'
import { framesOf } from './stack.ts'

const DETAILS = 'grpc-status-details-bin'
const STACK_TYPE = 'type.googleapis.com/generated.Stack'
/** Message and details travel as HTTP/2 headers, at up to nine bytes a character, and Node sends no more than 64 KiB of them. */
const MESSAGE_LENGTH = 3000
const FRAMES = 5
const FRAME_TEXT_LENGTH = 300

export function statusOf(thrown: unknown): ServerErrorResponse {
  const error = readableError(thrown)
  const message = cut(errorWords(error), MESSAGE_LENGTH)
  const frames = error === thrown ? framesOf(error) : []
  const metadata = new Metadata()
  metadata.set(DETAILS, encode('google.rpc.Status', details(message, frames.slice(0, FRAMES))))
  return Object.assign(new Error(message), { code: status.UNKNOWN, details: message, metadata })
}

function details(message: string, frames: Message<'generated.StackFrame'>[]): Message<'google.rpc.Status'> {
  const short = frames.map((frame) => ({
    file: cut(frame.file, FRAME_TEXT_LENGTH),
    line: frame.line,
    function: cut(frame.function, FRAME_TEXT_LENGTH),
  }))
  const stack = encode('generated.Stack', { frames: short })
  return { code: status.UNKNOWN, message, details: [{ type_url: STACK_TYPE, value: stack }] }
}
