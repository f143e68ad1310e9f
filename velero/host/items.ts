// Objects on the wire: UTF-8 JSON in a bytes field.

import { TerminalError } from '#shared/kernel/errors.ts'
import type { BackupExecuted } from '../actions.ts'

export type Item = BackupExecuted['item']

/** `field` is the name in the request, for the message. Velero has decoded a Backup or Restore itself, but not an item. */
export function readItem<Read extends Item = Item>(bytes: Uint8Array, field: string): Read {
  const value = parsed(bytes, field)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(field, `it is ${JSON.stringify(value).slice(0, 100)}`)
  }
  return value as Read
}

function parsed(bytes: Uint8Array, field: string): unknown {
  if (bytes.length === 0) throw invalid(field, 'it is empty')
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (error) {
    throw invalid(field, (error as SyntaxError).message)
  }
}

function invalid(field: string, why: string): TerminalError {
  return new TerminalError('RequestInvalid', `"${field}" of the request is no JSON object: ${why}`)
}

/** An item that an action may change in place, with its original bytes and text. */
type SentItem = { item: Item; bytes: Uint8Array; text: string }

export function readSentItem(bytes: Uint8Array): SentItem {
  const item = readItem(bytes, 'item')
  return { item, bytes, text: JSON.stringify(item) }
}

/**
 * Velero decodes the answer without checking whether anything changed, so the answer is always a whole object with its kind.
 * An unchanged item is returned byte for byte: numbers above 2^53 would lose digits in JavaScript's JSON.
 */
export function itemAnswer(plugin: string, answer: Item, sent: SentItem): Uint8Array {
  if (typeof answer?.kind !== 'string' || answer.kind === '') {
    throw new TerminalError('ItemInvalid', `${plugin} gave back an item without a kind`)
  }
  const text = JSON.stringify(answer)
  return text === sent.text ? sent.bytes : Buffer.from(text)
}

/** `PersistentVolumeClaim ns/name`, for messages. Velero has only parsed the item as JSON: its parts may have any type. */
export function nameOf(item: Item): string {
  const { namespace, name } = item.metadata ?? {}
  const place = [namespace, name].filter((part) => typeof part === 'string').join('/')
  return `${typeof item.kind === 'string' ? item.kind : 'object'} ${place}`
}
