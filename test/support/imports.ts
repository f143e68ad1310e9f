// Reads what a TypeScript file imports, in each form that an import may have.

import { parseSync } from 'oxc-parser'

/** `isType`: nothing of it is left at run time. */
export type Import = { specifier: string; isType: boolean }

/** A type may be named as `import('…')`, too, which the parser does not list; a comment with these characters counts. */
const CALL = /\bimport\(\s*(['"`])(.*?)\1/g

/** Throws an Error if the text cannot be parsed. An `import()` of what is computed is listed as it stands in the text. */
export function importsOf(file: string, text: string): Import[] {
  const { module, errors } = parseSync(file, text)
  if (errors[0] !== undefined) throw new Error(`${file}: ${errors[0].message}`)
  const named = module.staticImports.map(({ moduleRequest, entries }) => ({
    specifier: moduleRequest.value,
    isType: entries.length > 0 && entries.every(({ isType }) => isType),
  }))
  const passedOn = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, isType }) =>
      moduleRequest === null ? [] : [{ specifier: moduleRequest.value, isType }],
    ),
  )
  const called = [...text.matchAll(CALL)].map(([, , specifier = '']) => ({ specifier, isType: false }))
  const computed = module.dynamicImports
    .map(({ moduleRequest: { start, end } }) => text.slice(start, end))
    .filter((given) => !/^['"`]/.test(given))
    .map((specifier) => ({ specifier, isType: false }))
  return [...named, ...passedOn, ...called, ...computed]
}
