"""Which lanes does a fact concern?"""
