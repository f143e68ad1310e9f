// The body of an answer as one buffer: taken directly from SocketHandler's answers, or collected once from the SDK's stream.

import { ReceivedBody } from './request-handler.ts'
import { ResponseError } from './response-reader.ts'

/** `lengthBytes`: the length that the head of the answer promised, if it did. */
export async function readBody(
  body: unknown,
  lengthBytes: number | undefined,
  limitBytes: number,
): Promise<Uint8Array> {
  if (body instanceof ReceivedBody) return body.bytes
  if (lengthBytes !== undefined && lengthBytes > limitBytes)
    throw new ResponseError(`the answer is larger than ${limitBytes} bytes`)
  let whole = Buffer.allocUnsafeSlow(lengthBytes ?? 0)
  let filled = 0
  for await (const part of body as AsyncIterable<Uint8Array>) {
    const needed = filled + part.length
    if (needed > limitBytes) throw new ResponseError(`the answer is larger than ${limitBytes} bytes`)
    if (needed > whole.length) whole = Buffer.concat([whole.subarray(0, filled)], Math.max(needed, 2 * whole.length))
    whole.set(part, filled)
    filled = needed
  }
  if (lengthBytes !== undefined && filled < lengthBytes) {
    throw Object.assign(new Error('the answer ended before its length'), { code: 'ECONNRESET' })
  }
  return whole.subarray(0, filled)
}
