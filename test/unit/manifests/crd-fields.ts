// The fields of a CRD as paths: `Snapshot.status.conditions[].message`, `BackupRepository.repopsitoryParameters{}`.

import type { LooseObject } from '#test/support/loose-object.ts'

export type Schema = {
  type?: string
  enum?: unknown[]
  format?: string
  maxLength?: number
  maxItems?: number
  maxProperties?: number
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema
  [rest: string]: unknown
}
export type Field = { path: string; schema: Schema }

/** etcd takes 1.5 MiB for a whole object. */
const MOST = 2 ** 20

export function fieldsOf(crd: LooseObject): Field[] {
  const { names, versions } = crd['spec']
  return versions.flatMap(({ schema }: { schema: { openAPIV3Schema: Schema } }) =>
    fieldsBelow(names.kind, schema.openAPIV3Schema),
  )
}

function fieldsBelow(path: string, schema: Schema): Field[] {
  const { properties = {}, items, additionalProperties } = schema
  return [
    { path, schema },
    ...Object.entries(properties).flatMap(([name, field]) => fieldsBelow(`${path}.${name}`, field)),
    ...(items === undefined ? [] : fieldsBelow(`${path}[]`, items)),
    ...(additionalProperties === undefined ? [] : fieldsBelow(`${path}{}`, additionalProperties)),
  ]
}

/** What the field lacks; empty: it is bounded. */
export function unboundedIn({ path, schema }: Field): string[] {
  const lacks = (name: 'maxLength' | 'maxItems' | 'maxProperties') => {
    const bound = schema[name]
    return bound !== undefined && bound > 0 && bound <= MOST ? [] : [`${path}: ${name}`]
  }
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return [`${path}: preserve-unknown-fields`]
  if (schema['x-kubernetes-int-or-string'] === true) return [`${path}: int-or-string`]
  if (schema.type === 'string' && schema.enum === undefined) return lacks('maxLength')
  if (schema.type === 'array') return lacks('maxItems')
  if (schema.type === 'object' && schema.properties === undefined) return lacks('maxProperties')
  return []
}
