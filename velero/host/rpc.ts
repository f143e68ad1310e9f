// One gRPC method. Bytes are decoded and encoded here and not by gRPC, so that a malformed message is handled like any other
// error.

import type { handleUnaryCall, MethodDefinition, ServiceDefinition, UntypedHandleCall } from '@grpc/grpc-js'
import { decode, encode } from './codec.ts'
import type { Message, MessageName } from './messages.ts'
import { statusOf } from './status-error.ts'

export type Method = { path: string; requestStream: boolean; responseStream: boolean; handle: UntypedHandleCall }

export function unary<Asked extends MessageName, Answered extends MessageName>(
  path: string,
  asked: Asked,
  answered: Answered,
  answer: (request: Message<Asked>) => Promise<Message<Answered>>,
): Method {
  const answerBytes = async (request: Buffer) => encode(answered, await answer(decode(asked, request)))
  const handle: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    answerBytes(call.request).then(
      (bytes) => callback(null, bytes),
      (thrown: unknown) => callback(statusOf(thrown)),
    )
  }
  return { path, requestStream: false, responseStream: false, handle }
}

const asIs = (bytes: Buffer) => bytes

export function definitionOf(methods: readonly Method[]): ServiceDefinition {
  return Object.fromEntries(methods.map((method) => [method.path, wireDefinition(method)]))
}

function wireDefinition({ path, requestStream, responseStream }: Method): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  }
}
