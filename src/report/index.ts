export { renderReport, reportParts } from './page.ts'
export { brief, csv, markdown } from './tables.ts'
export {
  type NodeCost,
  type SearchTree,
  type SearchTreeNode,
  searchTree,
  type TreeOptions,
  treePage,
  treeParts,
} from './tree.ts'
