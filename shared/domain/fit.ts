// Makes every write fit the CRDs: the API server would always refuse a message that is too long, and with it the whole object.

import { clip } from './conditions.ts'

/**
 * Returns the object or change with each `message` of its status cut, including those of conditions. Every adapter of the port Cluster
 * calls this at each write, so that no writer can forget it; announce cuts the messages of Events. All other texts of a status are
 * Dormouse's own, or ids that were checked: a cut id would be another id.
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
