// Counts the code that a reader has to go through to follow the parameter `deps` of a step (docs/design/0009-controllers.md).
// Usage: node hack/walk.ts [--trace] [TABLE:ROW…]; default: UPLOAD:transfer DOWNLOAD:transfer. Prints stays, files and returns of each walk.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseSync } from 'oxc-parser'

/** A node of the syntax tree (ESTree); its fields depend on `type`. */
// biome-ignore lint/suspicious/noExplicitAny: walked by its shape, as the parser gives it
type Node = any

/** Types that are followed, by name: the parameters of a step, and types that contain them. */
const HOLDER =
  /\b(\w*Deps|Run|\w*Run|Work|\w*Work|WorkLease|Turn|Cluster|Volumes|VolumeService|Repositories|Mover|Permits)\b/
/** Values and ports: a reader need not continue into these. */
const NOT_FOLLOWED = /^shared\/(domain|kernel|ports|api)\//

type Place = { file: string; name: string }
type Func = Place & { node: Node }
type File = { functions: Map<string, Node>; imports: Map<string, Place>; values: Map<string, Node> }

const files = new Map<string, File>()

function load(file: string): File {
  const known = files.get(file)
  if (known !== undefined) return known
  const { program } = parseSync(file, readFileSync(file, 'utf8'))
  const found: File = { functions: new Map(), imports: new Map(), values: new Map() }
  files.set(file, found)
  for (const statement of program.body as Node[]) {
    if (statement.type === 'ImportDeclaration') addImports(found, file, statement)
    const declared = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
    if (declared?.type === 'FunctionDeclaration') found.functions.set(declared.id.name, declared)
    if (declared?.type === 'ClassDeclaration') addMethods(found, declared)
    if (declared?.type === 'VariableDeclaration')
      for (const { id, init } of declared.declarations) {
        found.values.set(id.name, init)
        if (init?.type === 'ArrowFunctionExpression') found.functions.set(id.name, init)
      }
  }
  return found
}

function addImports(found: File, file: string, { source, specifiers }: Node): void {
  const text: string = source.value
  if (!text.startsWith('.') && !text.startsWith('#')) return
  const target = text.startsWith('#') ? text.slice(1) : path.join(path.dirname(file), text)
  for (const { local, imported } of specifiers) found.imports.set(local.name, { file: target, name: imported?.name })
}

function addMethods(found: File, { id, body }: Node): void {
  for (const member of body.body)
    if (member.type === 'MethodDefinition') found.functions.set(`${id.name}.${member.key.name}`, member.value)
}

/** The function behind a name in `file`; undefined: a local value, or a package's. */
function resolve(file: string, name: string): Func | undefined {
  const { functions, imports } = load(file)
  const own = functions.get(name)
  if (own !== undefined) return { file, name, node: own }
  const from = imports.get(name)
  if (from === undefined || NOT_FOLLOWED.test(from.file)) return undefined
  const node = load(from.file).functions.get(from.name)
  return node === undefined ? undefined : { ...from, node }
}

type Walk = { stays: string[]; seen: Set<string>; trace: string[]; rows: Map<string, Func[]> }

function follow(walk: Walk, { file, name, node }: Func): void {
  const key = `${file} ${name}`
  if (walk.seen.has(key)) return
  walk.seen.add(key)
  if (walk.stays.at(-1) !== file) walk.stays.push(file)
  walk.trace.push(key)
  const holders = new Set<string>()
  for (const parameter of node.params) addHolders(holders, parameter, file)
  for (const part of [...node.params, node.body]) visit(walk, file, part, holders)
}

/** The names that a parameter binds, if its type contains the parameters of a step. */
function addHolders(holders: Set<string>, parameter: Node, file: string): void {
  const target = parameter.type === 'AssignmentPattern' ? parameter.left : parameter
  const annotation = target.typeAnnotation
  if (annotation == null) return
  const text = readFileSync(file, 'utf8').slice(annotation.start, annotation.end)
  if (HOLDER.test(text)) for (const name of boundNames(target)) holders.add(name)
}

function boundNames(pattern: Node): string[] {
  if (pattern.type === 'Identifier') return [pattern.name]
  if (pattern.type === 'ObjectPattern')
    return pattern.properties.flatMap((each: Node) =>
      boundNames(each.type === 'RestElement' ? each.argument : each.value),
    )
  if (pattern.type === 'AssignmentPattern') return boundNames(pattern.left)
  if (pattern.type === 'ArrayPattern') return pattern.elements.filter(Boolean).flatMap(boundNames)
  return []
}

/** In source order; the arguments of a call are visited before the call is followed. */
function visit(walk: Walk, file: string, node: Node, holders: Set<string>): void {
  if (node === null || typeof node !== 'object') return
  if (Array.isArray(node)) {
    for (const each of node) visit(walk, file, each, holders)
    return
  }
  if (typeof node.type !== 'string' || node.type.startsWith('TS')) return
  if (node.type === 'VariableDeclarator' && node.init != null && isHeld(node.init, holders))
    for (const name of boundNames(node.id)) holders.add(name)
  if (/Function/.test(node.type)) for (const parameter of node.params) addHolders(holders, parameter, file)
  for (const [field, value] of Object.entries(node)) if (field !== 'type') visit(walk, file, value, holders)
  if (node.type === 'CallExpression') for (const target of targetsOf(walk, file, node, holders)) follow(walk, target)
}

/** `deps`, `run.deps`, `deps.cluster`, `{ deps, … }`, `{ ...run }`: expressions that pass on the parameters of a step. */
function isHeld(node: Node, holders: ReadonlySet<string>): boolean {
  if (node.type === 'Identifier') return holders.has(node.name) || HELD.test(node.name)
  if (node.type === 'MemberExpression') return isHeld(node.object, holders) && isPortOrHolder(node)
  if (node.type === 'AwaitExpression') return isHeld(node.argument, holders)
  if (node.type === 'SpreadElement') return isHeld(node.argument, holders)
  if (node.type === 'ObjectExpression') return node.properties.some((each: Node) => isHeld(each.value ?? each, holders))
  return false
}

/** By these names only, wherever they occur. */
const HELD = /^(deps|run|lease|work)$/
const PORTS = /^(deps|run|lease|work|cluster|volumes|repositories|mover|permits|stores|access)$/

function isPortOrHolder({ property }: Node): boolean {
  return PORTS.test(property?.name ?? '')
}

function targetsOf(walk: Walk, file: string, { callee, arguments: given }: Node, holders: ReadonlySet<string>): Func[] {
  if (callee.type === 'MemberExpression') {
    const name: string = callee.property.name
    if (file.endsWith('/controller.ts') && walk.rows.has(name)) return walk.rows.get(name) ?? []
    const isLease = callee.object.type === 'Identifier' && callee.object.name === 'lease'
    return isLease ? methodOf('shared/controllers/work-lease.ts', name) : []
  }
  if (callee.type !== 'Identifier') return []
  const passes = given.some((each: Node) => isHeld(each, holders))
  const named = [callee, ...given].filter((each: Node) => each.type === 'Identifier' && !holders.has(each.name))
  return passes ? named.flatMap((each: Node) => resolve(file, each.name) ?? []) : []
}

function methodOf(file: string, name: string): Func[] {
  const found = [...load(file).functions].find(([key]) => key.endsWith(`.${name}`))
  return found === undefined ? [] : [{ file, name: found[0], node: found[1] }]
}

/** The fields of the table, and of its one row, that the controller calls. */
function rowsOf(file: string, table: string, row: string): Map<string, Func[]> {
  const rows = new Map<string, Func[]>()
  const add = ({ key, value }: Node) => {
    const target =
      value.type === 'Identifier'
        ? resolve(file, value.name)
        : /Function/.test(value.type)
          ? { file, name: `${table}.${key.name}`, node: value }
          : undefined
    if (target !== undefined) rows.set(key.name, [target])
  }
  const declared = load(file).values.get(table)
  if (declared === undefined) throw new Error(`${file} has no table ${table}`)
  for (const property of declared.properties) {
    if (property.key.name !== 'actions') add(property)
    else for (const each of property.value.properties) if (each.key.name === row) each.value.properties.forEach(add)
  }
  return rows
}

type Count = { stays: number; files: number; returns: number; trace: string[] }

/** `table`: the name of the step's table in its handler (UPLOAD); `row`: the decision whose row is followed (transfer). */
export function walkOf(table: string, row: string): Count {
  const step = table.toLowerCase()
  const file = `functions/${step}/handler.ts`
  const name = `handle${step.charAt(0).toUpperCase()}${step.slice(1)}`
  const node = load(file).functions.get(name)
  if (node === undefined) throw new Error(`${file} has no function ${name}`)
  const walk: Walk = { stays: [], seen: new Set(), trace: [], rows: rowsOf(file, table, row) }
  follow(walk, { file, name, node })
  const stays = walk.stays.length
  const places = new Set(walk.stays).size
  return { stays, files: places, returns: stays - places, trace: walk.trace }
}

if (import.meta.main) {
  const asked = process.argv.slice(2).filter((word) => word.includes(':'))
  for (const word of asked.length > 0 ? asked : ['UPLOAD:transfer', 'DOWNLOAD:transfer']) {
    const [table = '', row = ''] = word.split(':')
    const { stays, files: places, returns, trace } = walkOf(table, row)
    if (process.argv.includes('--trace')) console.log(trace.join('\n'))
    console.log(`${table} ${row}: ${stays} stays in ${places} files, ${returns} returns`)
  }
}
