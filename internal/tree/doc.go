// Package tree holds the tests of the source tree itself: that every package says
// what it is for, and that packages know only those that they may know.
package tree
