/**
 * V8 builds into optimised code the functions to which a call through a table has led so far, up to four, and throws the
 * code away when another comes. Python's evaluator, its largest function, it begins to optimise after some 50 of Python's
 * instructions, for 0.2 s beside the harts; and it did so six times more in a page's first seconds, for each of the
 * questions below. Where it has seen five answers it builds in none. So each question is asked of more kinds of objects
 * (ebbtide/browser/kinds.py) before any Python runs, by Python's C API.
 */

/** Of Python's C API: addresses are numbers. */
export interface PythonC {
  stringToNewUTF8(text: string): number;
  _malloc(bytes: number): number;
  _free(address: number): void;
  HEAPU32: Uint32Array;
  _PyImport_ImportModule(name: number): number;
  _PyObject_GetAttrString(object: number, name: number): number;
  _PyUnicode_FromString(text: number): number;
  _PyTuple_Size(tuple: number): number;
  _PyTuple_GetItem(tuple: number, index: number): number;
  _PyObject_IsTrue(object: number): number;
  _PyObject_GetAttr(object: number, name: number): number;
  _PyObject_Size(object: number): number;
  _PyObject_GetIter(object: number): number;
  _PySequence_Contains(object: number, one: number): number;
  _PyObject_Vectorcall(callable: number, args: number, count: number, names: number): number;
  _Py_DecRef(object: number): void;
  _PyErr_Clear(): void;
}

export function showKinds(python: PythonC): void {
  const texts: number[] = [];
  const text = (value: string): number => {
    const address = python.stringToNewUTF8(value);
    texts.push(address);
    return address;
  };
  const module = python._PyImport_ImportModule(text("ebbtide.browser.kinds"));
  if (module === 0) return python._PyErr_Clear();
  const list = (name: string): number[] => {
    const tuple = python._PyObject_GetAttrString(module, text(name)); // the module holds it
    return Array.from({ length: python._PyTuple_Size(tuple) }, (_, index) => python._PyTuple_GetItem(tuple, index));
  };
  const name = python._PyUnicode_FromString(text("__class__"));
  const ask = (object: number): void => {
    python._PyObject_IsTrue(object);
    python._Py_DecRef(python._PyObject_GetAttr(object, name));
  };
  const containers = list("CONTAINERS");
  for (let at = 0; at < containers.length; at += 2) {
    const container = containers[at] ?? 0;
    ask(container);
    python._PyObject_Size(container);
    python._Py_DecRef(python._PyObject_GetIter(container));
    python._PySequence_Contains(container, containers[at + 1] ?? 0);
  }
  for (const object of list("OTHERS")) ask(object);
  const args = python._malloc(4);
  python.HEAPU32[args >>> 2] = containers[0] ?? 0;
  for (const callable of list("CALLABLES")) python._Py_DecRef(python._PyObject_Vectorcall(callable, args, 1, 0));
  python._PyErr_Clear();
  for (const address of [...texts, args]) python._free(address);
}
