// What is written always fits the CRDs: a message that is too long would be refused for ever, and its object with it.

import { clip } from './conditions.ts'

/**
 * The object or change with each `message` of its status cut, also those of conditions. Asked by every adapter of the port Cluster at each
 * write, so that no writer can forget it; the messages of Events are cut by announce. All other texts of a status are our own words, or
 * ids that were checked: one that was cut would be another one.
 */
export function fitted<Written extends object>(written: Written): Written {
  const { status } = written as { status?: unknown }
  return typeof status === 'object' && status !== null ? { ...written, status: fittedValue(status) } : written
}

function fittedValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fittedValue)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, fittedField(name, field)]))
}

function fittedField(name: string, field: unknown): unknown {
  return name === 'message' && typeof field === 'string' ? clip(field) : fittedValue(field)
}
