// Encodes and decodes messages. The codec is built from the table at the first use: the plugin ships no .proto file.

import protobuf from 'protobufjs/light.js'
import { MESSAGES, type Message, type MessageName } from './messages.ts'

const root = new protobuf.Root()
for (const [name, fields] of Object.entries(MESSAGES)) {
  const path = name.split('.')
  const type = new protobuf.Type(path.at(-1) ?? name)
  for (const [field, spec] of Object.entries(fields) as [string, [number, string, string?]][]) {
    const [number, fieldType, rule] = spec
    type.add(new protobuf.Field(field, number, fieldType, rule))
  }
  root.define(path.slice(0, -1)).add(type)
}

const types = new Map<MessageName, protobuf.Type>()

function typeOf(name: MessageName): protobuf.Type {
  const type = types.get(name) ?? root.lookupType(name)
  types.set(name, type)
  return type
}

export function encode<Name extends MessageName>(name: Name, message: Message<Name>): Buffer {
  const type = typeOf(name)
  return Buffer.from(type.encode(type.fromObject(message)).finish())
}

/** Fields that were not sent have their zero value; int64 is a number (Velero's counts stay below 2^53). */
export function decode<Name extends MessageName>(name: Name, bytes: Uint8Array): Message<Name> {
  const type = typeOf(name)
  return type.toObject(type.decode(bytes), { longs: Number, defaults: true }) as Message<Name>
}
