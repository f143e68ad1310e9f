import type { ResourceSelector } from '../actions.ts'

/** In whatever namespace, with whatever labels. */
export function everyOne(includedResources: string[]): ResourceSelector {
  return { includedNamespaces: [], excludedNamespaces: [], includedResources, excludedResources: [], selector: '' }
}
