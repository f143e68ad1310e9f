// Checks each answer before the SDK reads it: the SDK accepts any XML as the answer that it expects, and no XML as an empty answer.

import type { S3Client } from '@aws-sdk/client-s3'
import { checkAnswer, MOST_ERROR_BYTES, MOST_LIST_BYTES } from './answers.ts'
import { readBody } from './body.ts'
import { ReceivedBody } from './request-handler.ts'

type Response = { statusCode: number; headers: Record<string, string>; body?: unknown }

export function addAnswerCheck(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args)
      await check(String(context['commandName']), result.response as Response)
      return result
    },
    // Directly before the handler: the SDK parses the answer after this check.
    { step: 'deserialize', priority: 'low', name: 'checkAnswer' },
  )
}

async function check(command: string, response: Response): Promise<void> {
  const isObject = command === 'GetObjectCommand' && response.statusCode < 300
  // The bytes of an object are not checked: there are many, and the repository authenticates them.
  const body = isObject || response.body === undefined ? new Uint8Array(0) : await wholeBody(response)
  checkAnswer(command, { status: response.statusCode, headers: response.headers, body })
}

/** Through a proxy, the body is still a stream. */
async function wholeBody(response: Response): Promise<Uint8Array> {
  if (response.body instanceof ReceivedBody) return response.body.bytes
  const mostBytes = response.statusCode < 300 ? MOST_LIST_BYTES : MOST_ERROR_BYTES
  const bytes = await readBody(response.body, undefined, mostBytes)
  response.body = new ReceivedBody(bytes)
  return bytes
}
